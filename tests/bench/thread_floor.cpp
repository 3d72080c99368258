#include "thread_floor.h"

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "ckpt/freeze/tracee.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static double milliseconds(const std::function<void()>& work) {
  const std::int64_t begin = clock_ns(CLOCK_MONOTONIC);
  work();
  return static_cast<double>(clock_ns(CLOCK_MONOTONIC) - begin) / 1e6;
}

static void stop(const std::vector<pid_t>& tids, std::vector<Registers>& registers) {
  for (const pid_t tid : tids) {
    if (const int error = Tracee(tid).seize(0)) throw SystemError("PTRACE_SEIZE", std::to_string(tid), error);
    Tracee(tid).interrupt();
  }
  registers.clear();
  for (const pid_t tid : tids) {
    Tracee(tid).wait();
    registers.push_back(Tracee(tid).registers());
  }
}

static pid_t make(int threads) {
  int ready[2];
  check(::pipe(ready), "pipe");
  const UniqueFd reader(ready[0]), writer(ready[1]);
  const pid_t pid = check(::fork(), "fork");
  char byte = 0;
  if (pid == 0) {
    const auto run = [&] {
      if (::write(writer.get(), "x", 1) == 1) ::pause();
    };
    for (int i = 1; i < threads; ++i) std::thread(run).detach();
    run();
    ::_exit(1);
  }
  for (int i = 0; i < threads; ++i) check(::read(reader.get(), &byte, 1), "read");
  return pid;
}

ThreadFloor measure_thread_floor(int threads) {
  ThreadFloor floor;
  pid_t pid = 0;
  floor.make_ms = milliseconds([&] { pid = make(threads); });
  const std::vector<pid_t> tids = list_threads(pid);
  std::vector<Registers> registers;
  floor.stop_ms = milliseconds([&] { stop(tids, registers); });
  floor.start_ms = milliseconds([&] {
    for (std::size_t i = 0; i < tids.size(); ++i) {
      Tracee(tids[i]).set_registers(registers[i]);
      Tracee(tids[i]).detach();
    }
  });
  stop(tids, registers);
  floor.end_ms = milliseconds([&] {
    ::kill(pid, SIGKILL);
    for (auto tid = tids.rbegin(); tid != tids.rend(); ++tid) {  // the leader last: it is no zombie before
      int status = 0;
      do check(::waitpid(*tid, &status, __WALL), "waitpid");
      while (WIFSTOPPED(status));
    }
  });
  return floor;
}

}  // namespace drover
