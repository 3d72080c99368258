// How long a program stands still for dump and restore, against what the same bytes cost at least: ckpt_bench
// HEARTBEAT DROVER-CKPT [CASE [RUNS]]. JSON on standard output, medians of RUNS (7). Needs room for two images of 1 GiB
// in /dev/shm. Run it on a quiet machine, as root or as an ordinary user.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "byte_floors.h"
#include "ckpt/dump/dump.h"
#include "ckpt/image/fd_stream.h"
#include "ckpt/restore/restore.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"
#include "ckpt/sys/working_memory.h"
#include "command_run.h"
#include "heartbeat_program.h"
#include "thread_floor.h"

using namespace drover;
using nlohmann::json;

namespace {

constexpr int kRuns = 7;

enum Phase { kFreeze, kDump, kKill, kRestore, kResume, kPhases };
constexpr const char* kPhaseNames[] = {"freeze", "dump", "kill", "restore", "resume"};
using Phases = std::array<double, kPhases>;  // milliseconds

struct Outcome {
  double downtime_ms = 0;
  Phases phases{};
  std::uint64_t image_bytes = 0;
  long tool_kib = 0;  // the most that dumper or restorer had
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Adds what has gone by since the last one to `phase`.
class Stopwatch {
 public:
  explicit Stopwatch(Phases& phases) : phases_(phases) {}
  void stop(Phase phase) {
    const std::int64_t now = clock_ns(CLOCK_MONOTONIC);
    phases_[phase] += static_cast<double>(now - std::exchange(last_ns_, now)) / 1e6;
  }

 private:
  Phases& phases_;
  std::int64_t last_ns_ = clock_ns(CLOCK_MONOTONIC);
};

// As the tool does it, which makes no process in between: after fork() each page that is written is a fault once more.
void dump_to(int fd, pid_t pid, Outcome& outcome) {
  prepare_working_memory();
  Stopwatch watch(outcome.phases);
  auto frozen = FrozenTree::freeze(pid);
  if (const auto* refusal = std::get_if<Refusal>(&frozen)) throw std::runtime_error(refusal->reason);
  auto& tree = std::get<FrozenTree>(frozen);
  watch.stop(kFreeze);
  FdSink sink(fd);
  const DumpResult result = dump(tree, sink, {});
  if (result.refused) throw std::runtime_error(result.refused->reason);
  watch.stop(kDump);
  tree.kill();
  watch.stop(kKill);
  outcome.image_bytes = result.stats.image_bytes;
}

pid_t restore_from(int fd, Outcome& outcome) {
  Stopwatch watch(outcome.phases);
  FdSource source(fd);
  auto restored = restore(source, {});
  if (const auto* refusal = std::get_if<Refusal>(&restored)) throw std::runtime_error(refusal->reason);
  auto& tree = std::get<HeldTree>(restored);
  const pid_t root = tree.root();
  watch.stop(kRestore);
  { const StillWaiting still = tree.resume(); }
  watch.stop(kResume);
  return root;
}

long own_peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

void end(pid_t pid) {
  pause_ms(20);
  ::kill(pid, SIGUSR1);
  ::waitpid(pid, nullptr, 0);
}

// In a process of its own, whose memory is the tool's.
template <class Work>
pid_t in_child(int answer, Work work) {
  const pid_t pid = check(::fork(), "fork");
  if (pid != 0) return pid;
  Outcome outcome;
  try {
    work(outcome);
  } catch (const std::exception& error) {
    fmt::print(stderr, "ckpt_bench: {}\n", error.what());
    ::_exit(1);
  }
  outcome.tool_kib = own_peak_kib();
  ::_exit(::write(answer, &outcome, sizeof outcome) == sizeof outcome ? 0 : 1);
}

Outcome collect(int answers, int count) {
  Outcome all;
  for (int i = 0; i < count; ++i) {
    Outcome one;
    if (::read(answers, &one, sizeof one) != sizeof one) throw std::runtime_error("a run has failed");
    all.image_bytes = std::max(all.image_bytes, one.image_bytes);
    all.tool_kib = std::max(all.tool_kib, one.tool_kib);
    for (std::size_t phase = 0; phase < kPhases; ++phase) all.phases[phase] += one.phases[phase];
  }
  all.downtime_ms = std::stod(gap_line(1)) / 1e6;
  return all;
}

// Whose process ids can be chosen, by an ordinary user too: in a user namespace in which they are who they were.
void enter_pid_namespace() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  check(::unshare((uid == 0 ? 0 : CLONE_NEWUSER) | CLONE_NEWPID | CLONE_NEWNS), "unshare");
  if (uid != 0) {
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", fmt::format("{} {} 1", uid, uid));
    write_text("/proc/self/gid_map", fmt::format("{} {} 1", gid, gid));
  }
  const pid_t init = check(::fork(), "fork");
  if (init != 0) {
    int status = 0;
    ::waitpid(init, &status, 0);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
  check(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount");
  check(::mount("proc", "/proc", "proc", 0, nullptr), "mount", "/proc");
}

// Image in /dev/shm: dump, then restore.
void run_through_file(const char* heartbeat, const Case& what, int answer) {
  in_child(answer, [&](Outcome& outcome) {
    enter_pid_namespace();
    const pid_t pid = start_heartbeat(heartbeat, what);
    const UniqueFd file(check(::open(kImage.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "open", kImage));
    dump_to(file.get(), pid, outcome);
    check(::lseek(file.get(), 0, SEEK_SET), "lseek");
    end(restore_from(file.get(), outcome));
  });
}

// From one PID namespace into another through a pipe, as between two nodes on one host.
void run_streamed(const char* heartbeat, const Case& what, int answer) {
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC), "pipe");
  check(::fcntl(ends[0], F_SETPIPE_SZ, 1 << 20), "F_SETPIPE_SZ");
  int go[2];
  check(::pipe2(go, O_CLOEXEC), "pipe");
  in_child(answer, [&](Outcome& outcome) {
    ::close(ends[1]);
    enter_pid_namespace();
    prepare_working_memory();
    check(::write(go[1], "x", 1), "write");
    end(restore_from(ends[0], outcome));
  });
  in_child(answer, [&](Outcome& outcome) {
    ::close(ends[0]);
    enter_pid_namespace();
    const pid_t pid = start_heartbeat(heartbeat, what);
    char byte = 0;
    check(::read(go[0], &byte, 1), "read");
    dump_to(ends[1], pid, outcome);
  });
  for (const int fd : {ends[0], ends[1], go[0], go[1]}) ::close(fd);
}

struct Programs {
  const char *heartbeat, *drover_ckpt;
};

Outcome run_once(const Programs& programs, const Case& what) {
  int answers[2];
  check(::pipe2(answers, O_CLOEXEC), "pipe");
  const bool streamed = what.how == How::Streamed;
  if (what.how == How::Commands)
    in_child(answers[1], [&](Outcome& outcome) {
      run_with_commands(programs.heartbeat, programs.drover_ckpt, what);
      outcome.image_bytes = std::filesystem::file_size(kImage);
    });
  else if (streamed)
    run_streamed(programs.heartbeat, what, answers[1]);
  else
    run_through_file(programs.heartbeat, what, answers[1]);
  ::close(answers[1]);
  while (::wait(nullptr) > 0) {
  }
  const Outcome outcome = collect(answers[0], streamed ? 2 : 1);
  ::close(answers[0]);
  ::unlink(kImage.c_str());
  ::unlink(kGap.c_str());
  return outcome;
}

// Floors in turns with the runs: a virtual machine has slower minutes, which must not look like slower code.
json measure(const Programs& programs, const Case& what, int runs) {
  const bool moves_a_gib = std::string_view(what.fill) == "random" && what.mib != 0;
  std::vector<double> downtimes, reads, writes, fills, stops, ends, makes, starts, phases[kPhases];
  Outcome last;
  for (int run = 0; run < runs; ++run) {
    if (moves_a_gib) {
      const ByteFloors floors = measure_byte_floors();
      reads.push_back(floors.read_ms);
      writes.push_back(floors.write_ms);
      fills.push_back(floors.fill_ms);
    }
    if (what.threads > 1) {
      const ThreadFloor floor = measure_thread_floor(what.threads);
      stops.push_back(floor.stop_ms);
      ends.push_back(floor.end_ms);
      makes.push_back(floor.make_ms);
      starts.push_back(floor.start_ms);
    }
    last = run_once(programs, what);
    downtimes.push_back(last.downtime_ms);
    for (std::size_t phase = 0; phase < kPhases; ++phase) phases[phase].push_back(last.phases[phase]);
  }
  json result{{"name", what.name},
              {"downtime_ms", median(downtimes)},
              {"runs_ms", downtimes},
              {"image_mib", static_cast<double>(last.image_bytes) / (1 << 20)}};
  if (what.how != How::Commands) {  // these tell of themselves: drover-ckpt --timing
    result["tool_peak_mib"] = static_cast<double>(last.tool_kib) / 1024;
    for (std::size_t phase = 0; phase < kPhases; ++phase)
      result["phases_ms"][kPhaseNames[phase]] = median(phases[phase]);
  }
  if (moves_a_gib) {
    const double sum = median(reads) + median(writes) + median(fills);
    result["floors"] = {{"process_vm_readv_ms", median(reads)},
                        {"write_ms", median(writes)},
                        {"populate_and_read_ms", median(fills)},
                        {"sum_ms", sum}};
    result["of_floors"] = median(downtimes) / sum;
  }
  if (what.threads > 1) {
    const ThreadFloor floor{median(stops), median(ends), median(makes), median(starts)};
    result["floors"] = {{"stop_ms", floor.stop_ms},
                        {"end_ms", floor.end_ms},
                        {"make_ms", floor.make_ms},
                        {"start_ms", floor.start_ms},
                        {"sum_ms", floor.sum_ms()}};
    result["of_floors"] = median(downtimes) / floor.sum_ms();
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) try {
  const int runs = argc == 5 ? std::atoi(argv[4]) : kRuns;
  if (argc < 3 || argc > 5 || runs < 1) {
    fmt::print(stderr, "usage: ckpt_bench HEARTBEAT-PROGRAM DROVER-CKPT [CASE [RUNS]]\n");
    return 2;
  }
  const Case cases[] = {{"tiny", 1, 0, "random", How::ThroughFile},
                        {"100 threads", 100, 0, "random", How::ThroughFile},
                        {"1 GiB random", 1, 1024, "random", How::ThroughFile},
                        {"1 GiB random, streamed", 1, 1024, "random", How::Streamed},
                        {"1 GiB, 90 % zeros", 1, 1024, "zero90", How::ThroughFile},
                        {"1 GiB, 90 % untouched", 1, 1024, "untouched90", How::ThroughFile},
                        {"tiny, by commands", 1, 0, "random", How::Commands},
                        {"100 threads, by commands", 100, 0, "random", How::Commands},
                        {"1 GiB random, by commands", 1, 1024, "random", How::Commands}};
  const Programs programs{argv[1], argv[2]};
  if (argc > 3) {
    for (const Case& one : cases)
      if (std::string_view(one.name) == argv[3]) {
        fmt::print("{}\n", measure(programs, one, runs).dump(2));
        return 0;
      }
    fmt::print(stderr, "ckpt_bench: no case \"{}\"\n", argv[3]);
    return 2;
  }
  json all{{"kernel", try_read_text("/proc/sys/kernel/osrelease").value_or("")}, {"uid", ::geteuid()}};
  for (const Case& one : cases) all["cases"].push_back(measure(programs, one, runs));
  fmt::print("{}\n", all.dump(2));
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "ckpt_bench: {}\n", error.what());
  return 1;
}
