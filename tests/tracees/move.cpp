// Starts a program as a job's shepherd would and moves it again and again: in namespaces of its own, frozen and dumped
// by one worker process, restored by another, reaped by PID 1.
//
//   move [--moves N] [--every MS] [--signal N] [--as-nobody] [--directory DIR] [--at-rest] [--no-proc] [--one-worker]
//   [--other-vdso]
//        -- PROGRAM ARGUMENTS...
//
// With a tracee that checks itself (it prints "ready", waits for SIGUSR1 and exits 0 if its state is as it was) the
// moves happen between the two; `--until-exit` is for ordinary programs: they are moved N times while they run. Exits
// with the program's code. `--one-worker`: a single worker does it all, and must not grow: its descriptors, its memory
// and the processes there are stay as many as they were after the first moves. `--other-vdso`: as if each node
// had another kernel. `--other-shm`: after each dump /dev/shm is another, empty one, as on another node. `--kill N`:
// instead of moving, N workers that freeze and dump are killed at random moments, and the program must not notice.
// `--signal N`: sent to the program's group each time when it is frozen. 99 when a move fails, and says why. /proc is
// compared before and after each move.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ckpt/dump/dump.h"
#include "ckpt/image/fd_stream.h"
#include "ckpt/restore/restore.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/sysvipc.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"
#include "tests/tracees/leak_check.h"
#include "tests/tracees/move_settings.h"
#include "tests/tracees/proc_state.h"

using namespace drover;

namespace {

struct Job {
  pid_t pid = 0;
  UniqueFd output;  // read end of the program's standard output
  UniqueFd output_end;
  std::string text;
};

void pause_ms(int ms) {
  const timespec time{ms / 1000, (ms % 1000) * 1'000'000L};
  ::nanosleep(&time, nullptr);
}

DumpOptions dump_options(const Job& job) {
  DumpOptions options;
  struct stat info {};
  ::fstat(job.output_end.get(), &info);
  options.external.push_back({info.st_dev, info.st_ino, "stdout"});
  options.context = {std::byte{1}, std::byte{2}};
  options.namespaces_of = ::getppid();
  options.locks = true;
  options.own_ipc = true;
  options.network_names = true;
  return options;
}

bool exited(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

// 2: the program has ended.
int dump_job(const Settings& settings, const Job& job, const std::string& image, StillWaiting& still, int attempt = 1) {
  constexpr int kAttempts = 10;
  if (const auto obstacle = find_obstacle(job.pid, dump_options(job))) {
    if (exited(job.pid)) return 2;
    throw std::runtime_error("refused: " + obstacle->reason);
  }
  const std::int64_t begin = clock_ns(CLOCK_MONOTONIC);
  auto frozen = FrozenTree::freeze(job.pid, &still, ::getppid());
  if (const auto* refusal = std::get_if<Refusal>(&frozen))
    throw std::runtime_error("freeze refused: " + refusal->reason);
  const std::int64_t stopped = clock_ns(CLOCK_MONOTONIC);
  FrozenTree& tree = std::get<FrozenTree>(frozen);
  if (settings.signal != 0) check(::kill(-::getpgid(job.pid), settings.signal), "kill");
  const UniqueFd file(check(::open(image.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "open", image));
  FdSink sink(file.get());
  DumpOptions options = dump_options(job);
  options.compress = settings.compress;
  const DumpResult result = dump(tree, sink, options);
  if (result.refused && result.refused->passing && attempt < kAttempts) {
    still = tree.thaw();
    pause_ms(2);
    return dump_job(settings, job, image, still, attempt + 1);
  }
  if (result.refused) throw std::runtime_error("dump refused: " + result.refused->reason);
  if (settings.leave_running)
    still = tree.thaw();
  else
    tree.kill();
  if (settings.timing)
    fmt::print(stderr, "freeze {:.3f} dump {:.3f} ms, {} bytes\n", static_cast<double>(stopped - begin) / 1e6,
               static_cast<double>(clock_ns(CLOCK_MONOTONIC) - stopped) / 1e6, result.stats.image_bytes);
  return 0;
}

int restore_job(const Settings& settings, const Job& job, const std::string& image, StillWaiting& still) {
  const std::int64_t begin = clock_ns(CLOCK_MONOTONIC);
  const UniqueFd file(check(::open(image.c_str(), O_RDONLY | O_CLOEXEC), "open", image));
  FdSource source(file.get());
  RestoreOptions options;
  options.child_of_parent = true;
  options.time_namespace = true;
  options.live = !settings.at_rest;
  options.other_vdso = settings.other_vdso;
  options.external["stdout"] = job.output_end.get();
  auto restored = restore(source, options);
  if (const auto* refusal = std::get_if<Refusal>(&restored))
    throw std::runtime_error("restore refused: " + refusal->reason);
  HeldTree& tree = std::get<HeldTree>(restored);
  if (tree.context().size() != 2) throw std::runtime_error("the context has changed");
  const std::int64_t held = clock_ns(CLOCK_MONOTONIC);
  still = tree.resume();
  if (settings.timing)
    fmt::print(stderr, "restore {:.3f} resume {:.3f} ms\n", static_cast<double>(held - begin) / 1e6,
               static_cast<double>(clock_ns(CLOCK_MONOTONIC) - held) / 1e6);
  return 0;
}

// A process that dumps ('D') and restores ('R') as it is told, or looks for leaks ('L'). Who has restored also dumps
// the next time: it may hold threads that nobody else can stop, and knows when waits end.
class Worker {
 public:
  Worker(const Settings& settings, const Job& job) {
    int orders[2], answers[2];
    check(::pipe2(orders, O_CLOEXEC), "pipe");
    check(::pipe2(answers, O_CLOEXEC), "pipe");
    pid_ = check(::fork(), "fork");
    if (pid_ == 0) {
      ::close(orders[1]);
      obey(settings, job, orders[0], answers[1]);
      std::fflush(nullptr);
      ::_exit(0);
    }
    ::close(orders[0]);
    ::close(answers[1]);
    orders_.reset(orders[1]);
    answers_.reset(answers[0]);
  }
  ~Worker() {
    orders_.reset();
    ::waitpid(pid_, nullptr, 0);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  pid_t pid() const { return pid_; }

  int ask(char what) {
    char code = 1;
    return ::write(orders_.get(), &what, 1) == 1 && ::read(answers_.get(), &code, 1) == 1 ? code : 1;
  }

 private:
  static void obey(const Settings& settings, const Job& job, int orders, int answers) {
    const std::string image = settings.directory + "/image";
    StillWaiting still;
    LeakCheck leaks;
    for (char what = 0;;) {
      still.lingering.wait(orders);
      if (::read(orders, &what, 1) != 1) return;
      char code = 1;
      try {
        code = static_cast<char>(what == 'L'   ? leaks.look()
                                 : what == 'D' ? dump_job(settings, job, image, still)
                                               : restore_job(settings, job, image, still));
      } catch (const std::exception& error) {
        fmt::print(stderr, "move: {}\n", error.what());
      }
      if (::write(answers, &code, 1) != 1) return;
    }
  }

  pid_t pid_ = 0;
  UniqueFd orders_, answers_;
};

// Freezes, dumps and lets go, so that each moment of a dump is hit by one kill or another.
[[noreturn]] void be_victim(const Settings& settings, const Job& job) {
  try {
    auto frozen = FrozenTree::freeze(job.pid, nullptr, ::getppid());
    if (auto* tree = std::get_if<FrozenTree>(&frozen)) {
      const UniqueFd file(
          check(::open((settings.directory + "/image").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), "open", "image"));
      FdSink sink(file.get());
      const DumpResult result = dump(*tree, sink, dump_options(job));
      if (result.refused && !result.refused->passing) fail("dump refused: " + result.refused->reason);
      { const StillWaiting still = tree->thaw(); }
      ::_exit(0);
    }
    fail("freeze refused: " + std::get<Refusal>(frozen).reason);
  } catch (const SystemError& error) {
    if (error.error() == EAGAIN) ::_exit(0);  // the program was on its way home from the last one
    fail(error.what());
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

void kill_workers(const Settings& settings, const Job& job) {
  std::int64_t whole_ns = 2'000'000;  // how long a dump takes that is not disturbed
  int killed = 0;
  std::srand(static_cast<unsigned>(clock_ns(CLOCK_MONOTONIC)));
  for (int i = 0; i < settings.kills; ++i) {
    // The last one is left in peace, and takes away what the others have left.
    const bool last = i + 1 == settings.kills;
    if (last) pause_ms(100);
    const std::int64_t begin = clock_ns(CLOCK_MONOTONIC);
    const pid_t worker = ::fork();
    if (worker == 0) be_victim(settings, job);
    if (i > 0 && !last) {
      const timespec delay{0, std::min<long>(999'999'999, std::rand() % (whole_ns + whole_ns / 8))};
      ::nanosleep(&delay, nullptr);
      ::kill(worker, SIGKILL);
    }
    int status = 0;
    ::waitpid(worker, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) fail(fmt::format("worker {} failed", i));
    killed += WIFSIGNALED(status);
    if (i == 0) whole_ns = clock_ns(CLOCK_MONOTONIC) - begin;
    if (exited(job.pid)) {
      siginfo_t info{};
      ::waitid(P_PID, static_cast<id_t>(job.pid), &info, WEXITED | WNOHANG | WNOWAIT);
      fail(fmt::format("the program ended after kill {}: status {}", i, info.si_status));
    }
  }
  pause_ms(50);  // home, and back into the call that waits
  fmt::print(stderr, "move: {} of {} workers killed within {:.3f} ms\n", killed, settings.kills,
             static_cast<double>(whole_ns) / 1e6);
}

void start(const Settings& settings, Job& job) {
  int pipe_ends[2];
  check(::pipe2(pipe_ends, O_CLOEXEC), "pipe");
  check(::fcntl(pipe_ends[1], F_SETPIPE_SZ, 1 << 20), "F_SETPIPE_SZ");
  job.output.reset(pipe_ends[0]);
  job.output_end.reset(pipe_ends[1]);
  ::fcntl(job.output.get(), F_SETFL, O_NONBLOCK);
  job.pid = check(::fork(), "fork");
  if (job.pid != 0) return;
  ::setsid();
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, 0);
  ::dup2(job.output_end.get(), 1);
  const int error = ::open((settings.directory + "/stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(error, 2);
  ::close_range(3, ~0U, 0);
  if (settings.kills != 0) ::setenv("DROVER_KILLED_DUMPS", "1", 1);
  ::execvp(settings.command[0], settings.command.data());
  ::_exit(127);
}

void drain(Job& job) {
  char buffer[65536];
  for (ssize_t n; (n = ::read(job.output.get(), buffer, sizeof buffer)) > 0;) {
    job.text.append(buffer, static_cast<std::size_t>(n));
    if (::write(STDOUT_FILENO, buffer, static_cast<std::size_t>(n)) < 0) fail("can't write the program's output");
  }
}

void wait_ready(Job& job) {
  for (int i = 0; i < 30'000; ++i) {
    drain(job);
    if (job.text.find("ready\n") != std::string::npos) {
      pause_ms(20);  // from "ready" into the call that waits
      return;
    }
    if (exited(job.pid)) fail("the program ended before it was ready");
    pause_ms(1);
  }
  fail("the program does not get ready");
}

// The old tree's orphans and what they leave; the worker is not among them.
void reap_all_but(pid_t worker) {
  for (int i = 0; i < 3000; ++i, pause_ms(1)) {
    bool left = false;
    for (const pid_t child : list_children(::getpid())) {
      if (child != worker) left |= ::waitpid(child, nullptr, WNOHANG) == 0;
    }
    if (!left) return;
  }
  for (const pid_t child : list_children(::getpid())) {
    for (const char* name : {"status", "wchan", "syscall"})
      fmt::print(stderr, "{}\n", try_read_text(proc_path(child, name)).value_or("-"));
  }
  fail("the old tree does not end");
}

void mount_empty_shm() {
  check(::mount("drover-test", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), "mount", "/dev/shm");
}

// As the end of its namespace would at the source.
void remove_ipc_objects() {
  for (const SysvEntry& entry : parse_sysvipc(read_text("/proc/sysvipc/shm"))) ::shmctl(entry.id, IPC_RMID, nullptr);
  for (const SysvEntry& entry : parse_sysvipc(read_text("/proc/sysvipc/sem"))) ::semctl(entry.id, 0, IPC_RMID);
  for (const SysvEntry& entry : parse_sysvipc(read_text("/proc/sysvipc/msg"))) ::msgctl(entry.id, IPC_RMID, nullptr);
}

// False when the program has ended by itself.
bool move_once(const Settings& settings, Job& job, std::unique_ptr<Worker>& worker, int number) {
  if (!worker) worker = std::make_unique<Worker>(settings, job);
  const auto before = settings.until_exit ? ProcState{} : read_proc_state(job.pid);
  const int dumped = worker->ask('D');
  if (dumped == 2 || (dumped != 0 && exited(job.pid))) return false;
  if (dumped != 0) fail(fmt::format("dump {} failed", number));
  if (settings.leave_running) return true;
  ::waitpid(job.pid, nullptr, __WALL);
  reap_all_but(worker->pid());
  remove_ipc_objects();
  if (settings.other_shm) mount_empty_shm();
  if (settings.at_rest) pause_ms(50);
  if (!settings.one_worker) {
    worker.reset();  // before the next one inherits its pipes
    worker = std::make_unique<Worker>(settings, job);
  }
  if (worker->ask('R') != 0) fail(fmt::format("restore {} failed", number));
  if (settings.until_exit || settings.no_proc) return true;
  for (int i = 0; i < 200; ++i) {  // sleeping threads need a moment to get back to where they were
    if (differences(before, read_proc_state(job.pid)).empty()) return true;
    pause_ms(10);
  }
  for (const std::string& line : differences(before, read_proc_state(job.pid))) fmt::print(stderr, "move: {}\n", line);
  fail(fmt::format("/proc differs after move {}", number));
}

int run_job(const Settings& settings) {
  Job job;
  start(settings, job);
  if (settings.until_exit)
    pause_ms(settings.every_ms);
  else
    wait_ready(job);
  if (settings.kills != 0) kill_workers(settings, job);
  int moved = 0;
  std::unique_ptr<Worker> worker;
  while (moved < settings.moves && move_once(settings, job, worker, moved + 1)) {
    ++moved;
    const bool settled = moved == settings.moves / 10 || moved == settings.moves;
    if (settings.one_worker && settled && worker->ask('L') != 0) fail("the worker leaks");
    for (int waited = 0; waited < settings.every_ms && !exited(job.pid); ++waited) {
      drain(job);
      pause_ms(1);
    }
  }
  if (!settings.until_exit) ::kill(job.pid, SIGUSR1);
  for (int i = 0; !exited(job.pid); ++i) {
    drain(job);
    pause_ms(1);
    if (i > 60'000) fail("the program does not end");
  }
  drain(job);
  int status = 0;
  ::waitpid(job.pid, &status, 0);
  fmt::print(stderr, "move: {} moves, status {:#x}\n", moved, status);
  if (moved < settings.moves) fmt::print(stderr, "move: the program ended before all moves\n");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void enter_namespaces(const Settings& settings) {
  if (settings.as_nobody) {
    check(::setgroups(0, nullptr), "setgroups");
    check(::setresgid(65534, 65534, 65534), "setresgid");
    check(::setresuid(65534, 65534, 65534), "setresuid");
    check(::prctl(PR_SET_DUMPABLE, 1), "PR_SET_DUMPABLE");  // else our own /proc files stay root's
  }
  const int user = settings.as_nobody ? CLONE_NEWUSER : 0;
  check(::unshare(user | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC), "unshare");
  if (user == 0) return;
  write_text("/proc/self/setgroups", "deny");
  write_text("/proc/self/uid_map", "65534 65534 1");
  write_text("/proc/self/gid_map", "65534 65534 1");
}

}  // namespace

int main(int argc, char** argv) try {
  const Settings settings = parse_settings(argc, argv);
  enter_namespaces(settings);
  const pid_t init = check(::fork(), "fork");
  if (init == 0) {
    check(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount");
    check(::mount("proc", "/proc", "proc", 0, nullptr), "mount", "/proc");
    check(::mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
          "mount", "/dev/pts");
    int code = 99;
    mount_empty_shm();  // what a test leaves there goes with it
    try {
      code = run_job(settings);
    } catch (const std::exception& error) {
      fmt::print(stderr, "move: {}\n", error.what());
    }
    std::fflush(nullptr);
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(init, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
} catch (const std::exception& error) {
  fail(error.what());
}
