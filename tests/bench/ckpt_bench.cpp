// How long a program stands still for dump and restore, against what the same bytes cost at least: ckpt_bench
// HEARTBEAT [CASE [RUNS]]. JSON on standard output, medians of RUNS (7). Needs room for two images of 1 GiB in
// /dev/shm. Run it on a quiet machine.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/dump/dump.h"
#include "ckpt/image/fd_stream.h"
#include "ckpt/restore/restore.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"
#include "ckpt/sys/working_memory.h"
#include "thread_floor.h"

using namespace drover;
using nlohmann::json;

namespace {

constexpr int kRuns = 7;
constexpr std::size_t kGib = std::size_t{1} << 30, kChunk = 256 * 1024;
const std::string kImage = "/dev/shm/drover-bench-image", kGap = "/dev/shm/drover-bench-gap";

struct Case {
  const char* name;
  int threads, mib;
  const char* fill;
  bool streamed;
};

enum Phase { kFreeze, kDump, kKill, kRestore, kResume, kPhases };
constexpr const char* kPhaseNames[] = {"freeze", "dump", "kill", "restore", "resume"};
using Phases = std::array<double, kPhases>;  // milliseconds

struct Outcome {
  double downtime_ms = 0;
  Phases phases{};
  std::uint64_t image_bytes = 0;
  long tool_kib = 0;  // the most that dumper or restorer had
};

double milliseconds(const std::function<void()>& work) {
  const std::int64_t begin = clock_ns(CLOCK_MONOTONIC);
  work();
  return static_cast<double>(clock_ns(CLOCK_MONOTONIC) - begin) / 1e6;
}

void pause_ms(long ms) {
  const timespec time{ms / 1000, ms % 1000 * 1'000'000};
  ::nanosleep(&time, nullptr);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string gap_line(int line) {
  std::ifstream file(kGap);
  std::string text;
  for (int i = 0; i <= line; ++i) std::getline(file, text);
  return file ? text : "";
}

// Takes as much memory as a run is about to and frees it, in a process of its own. A virtual machine may have given
// free memory back to its host (free page reporting, Linux >= 5.7), and the host takes its time for each page that is
// taken again, which is not what is measured here.
void warm_memory() {
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    void* const memory = ::mmap(nullptr, 2 * kGib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::_exit(memory == MAP_FAILED || ::madvise(memory, 2 * kGib, MADV_POPULATE_WRITE) != 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) throw std::runtime_error("2 GiB of memory can't be had");
}

pid_t start(const char* heartbeat, const Case& what) {
  ::unlink(kGap.c_str());
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    const UniqueFd null(::open("/dev/null", O_RDWR));
    for (int fd = 0; fd < 3; ++fd) ::dup2(null.get(), fd);
    ::close_range(3, ~0U, 0);
    ::execl(heartbeat, heartbeat, kGap.c_str(), std::to_string(what.threads).c_str(), std::to_string(what.mib).c_str(),
            what.fill, nullptr);
    ::_exit(127);
  }
  while (gap_line(0) != "ready") pause_ms(5);
  if (what.mib != 0) warm_memory();
  pause_ms(50);
  ::kill(pid, SIGUSR2);
  pause_ms(50);
  return pid;
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

void enter_pid_namespace() {
  check(::unshare(CLONE_NEWPID | CLONE_NEWNS), "unshare");
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
    const pid_t pid = start(heartbeat, what);
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
    const pid_t pid = start(heartbeat, what);
    char byte = 0;
    check(::read(go[0], &byte, 1), "read");
    dump_to(ends[1], pid, outcome);
  });
  for (const int fd : {ends[0], ends[1], go[0], go[1]}) ::close(fd);
}

// What the bytes of 1 GiB cost without us: read from another process, written to /dev/shm, read into fresh memory.
struct Floors {
  double read_ms = 0, write_ms = 0, fill_ms = 0;
};

Floors measure_floors() {
  Floors floors;
  std::vector<std::byte> buffer(kChunk, std::byte{1});
  int ready[2];
  check(::pipe2(ready, O_CLOEXEC), "pipe");
  auto* const memory =
      static_cast<std::byte*>(::mmap(nullptr, kGib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    for (std::size_t at = 0; at < kGib; at += 64) memory[at] = std::byte{7};
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(0);
  }
  char byte = 0;
  check(::read(ready[0], &byte, 1), "read");
  warm_memory();
  floors.read_ms = milliseconds([&] {
    for (std::size_t at = 0; at < kGib; at += kChunk) {
      const iovec local{buffer.data(), kChunk}, remote{memory + at, kChunk};
      check(::process_vm_readv(pid, &local, 1, &remote, 1, 0), "process_vm_readv");
    }
  });
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  for (const int fd : ready) ::close(fd);
  const UniqueFd file(check(::open(kImage.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "open", kImage));
  floors.write_ms = milliseconds([&] {
    for (std::size_t at = 0; at < kGib; at += kChunk) check(::write(file.get(), buffer.data(), kChunk), "write");
  });
  floors.fill_ms = milliseconds([&] {
    check(::madvise(memory, kGib, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE");
    for (std::size_t at = 0; at < kGib; at += kChunk)
      check(::pread(file.get(), memory + at, kChunk, static_cast<off_t>(at)), "read");
  });
  ::munmap(memory, kGib);
  ::unlink(kImage.c_str());
  return floors;
}

Outcome run_once(const char* heartbeat, const Case& what) {
  int answers[2];
  check(::pipe2(answers, O_CLOEXEC), "pipe");
  if (what.streamed)
    run_streamed(heartbeat, what, answers[1]);
  else
    run_through_file(heartbeat, what, answers[1]);
  ::close(answers[1]);
  while (::wait(nullptr) > 0) {
  }
  const Outcome outcome = collect(answers[0], what.streamed ? 2 : 1);
  ::close(answers[0]);
  ::unlink(kImage.c_str());
  ::unlink(kGap.c_str());
  return outcome;
}

// Floors in turns with the runs: a virtual machine has slower minutes, which must not look like slower code.
json measure(const char* heartbeat, const Case& what, int runs) {
  const bool moves_a_gib = std::string_view(what.fill) == "random" && what.mib != 0;
  std::vector<double> downtimes, reads, writes, fills, stops, ends, makes, starts, phases[kPhases];
  Outcome last;
  for (int run = 0; run < runs; ++run) {
    if (moves_a_gib) {
      const Floors floors = measure_floors();
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
    last = run_once(heartbeat, what);
    downtimes.push_back(last.downtime_ms);
    for (std::size_t phase = 0; phase < kPhases; ++phase) phases[phase].push_back(last.phases[phase]);
  }
  json result{{"name", what.name},
              {"downtime_ms", median(downtimes)},
              {"runs_ms", downtimes},
              {"image_mib", static_cast<double>(last.image_bytes) / (1 << 20)},
              {"tool_peak_mib", static_cast<double>(last.tool_kib) / 1024}};
  for (std::size_t phase = 0; phase < kPhases; ++phase) result["phases_ms"][kPhaseNames[phase]] = median(phases[phase]);
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
  const int runs = argc == 4 ? std::atoi(argv[3]) : kRuns;
  if (argc < 2 || argc > 4 || runs < 1) {
    fmt::print(stderr, "usage: ckpt_bench HEARTBEAT-PROGRAM [CASE [RUNS]]\n");
    return 2;
  }
  if (::geteuid() != 0) {
    fmt::print(stderr, "ckpt_bench: needs root, for PID namespaces without a user namespace\n");
    return 2;
  }
  enter_pid_namespace();
  const Case cases[] = {{"tiny", 1, 0, "random", false},
                        {"100 threads", 100, 0, "random", false},
                        {"1 GiB random", 1, 1024, "random", false},
                        {"1 GiB random, streamed", 1, 1024, "random", true},
                        {"1 GiB, 90 % zeros", 1, 1024, "zero90", false},
                        {"1 GiB, 90 % untouched", 1, 1024, "untouched90", false}};
  if (argc > 2) {
    for (const Case& one : cases)
      if (std::string_view(one.name) == argv[2]) {
        fmt::print("{}\n", measure(argv[1], one, runs).dump(2));
        return 0;
      }
    fmt::print(stderr, "ckpt_bench: no case \"{}\"\n", argv[2]);
    return 2;
  }
  json all{{"kernel", try_read_text("/proc/sys/kernel/osrelease").value_or("")}};
  for (const Case& one : cases) all["cases"].push_back(measure(argv[1], one, runs));
  fmt::print("{}\n", all.dump(2));
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "ckpt_bench: {}\n", error.what());
  return 1;
}
