// The last steps: every thread back into the system call in which it was stopped, our area unmapped, registers set.
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "ckpt/freeze/interrupted_call.h"
#include "ckpt/freeze/rebuild_wait.h"
#include "ckpt/freeze/release.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"

namespace drover {

std::uint64_t syscall_instruction(const HeldProcess& held) { return held.area.runner() + runner_syscall_offset(); }

static Registers registers_of(const ThreadState& thread) {
  Registers registers{};
  static_assert(sizeof registers == sizeof thread.registers);
  std::memcpy(&registers, thread.registers.data(), sizeof registers);
  return registers;
}

static ThreadRelease prepare(const HeldProcess& held, std::size_t index, std::int64_t passed_ns,
                             std::vector<KnownWait>& known) {
  const ThreadState& thread = held.image.threads[index];
  ThreadRelease release{held.pid, thread.tid, registers_of(thread), std::nullopt};
  const auto result = static_cast<std::int64_t>(release.registers.rax);
  const bool in_call = static_cast<std::int64_t>(release.registers.orig_rax) >= 0;
  const std::int64_t rest_ns = thread.wait ? std::max<std::int64_t>(0, thread.wait->remaining_ns - passed_ns) : 0;
  if (in_call && result == kRestartBlock && thread.wait) {
    const std::int64_t now_ns = read_host_clocks().monotonic_ns;
    const auto timeout = restart_block_call(static_cast<long>(release.registers.orig_rax), release.registers);
    if (!timeout || timeout->form == TimeoutForm::None) throw ImageError("damaged image: an unknown call with a time");
    Batch unused = held.area.batch(index);
    const std::uint64_t scratch = unused.space(sizeof(timespec));
    release.registers = rebuild_wait(held.threads[index]->tracee(), held.memory, release.registers, *timeout, rest_ns,
                                     scratch, syscall_instruction(held));
    if (static_cast<std::int64_t>(release.registers.rax) == kRestartBlock)
      known.push_back(known_wait(release, *thread.wait, now_ns + rest_ns, now_ns));
  } else if (in_call && result == kRestartBlock) {  // its time is absolute or endless
    release.registers = issued_again(release.registers);
  } else if (in_call && thread.wait) {
    release.deadline_ns = clock_ns(CLOCK_MONOTONIC) + rest_ns;
  }
  return release;
}

std::vector<ThreadRelease> prepare_release(HeldProcess& held, std::int64_t passed_ns, bool last,
                                           std::vector<KnownWait>& known) {
  std::vector<ThreadRelease> releases;
  for (std::size_t i = 0; i < held.threads.size(); ++i) {
    releases.push_back(prepare(held, i, passed_ns, known));
    held.threads[i]->set_final(releases[i].registers, held.image.threads[i].signal_mask);
  }
  // The call returns into memory that is gone; the thread never gets there, its registers are exchanged at the exit
  // stop.
  const long gone = !last ? 0
                          : held.leader().call_at(syscall_instruction(held), SYS_munmap, held.area.address,
                                                  RemoteArea::bytes(held.area.slots));
  if (gone != 0) throw SystemError("munmap working memory", {}, static_cast<int>(-gone));
  held.threads.clear();  // sets masks and registers
  return releases;
}

// Would this signal stop the process if it came now? A handler would run, and an orphaned process group does not take
// the terminal's stop signals (signal(7)): such a process was stopped by another one, or before.
static int stop_signal(const HeldProcess& held) {
  const int signal = held.image.process.stopped_by;
  for (const SignalAction& action : held.image.signals.actions) {
    if (action.signal == signal) return SIGSTOP;
  }
  return signal;
}

static bool is_stopped(pid_t pid) {
  const auto stat = try_read_text(proc_path(pid, "stat"));
  return !stat || parse_task_stat(*stat).state == 'T';
}

static bool wait_stopped(pid_t pid) {
  constexpr int kAttempts = 500;  // it stops before its first instruction
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (is_stopped(pid)) return true;
    const timespec pause{0, 200'000};
    ::nanosleep(&pause, nullptr);
  }
  return false;
}

void release_stopped(HeldProcess& held, HeldProcess* parent, std::span<const ThreadRelease> releases) {
  ::kill(held.pid, stop_signal(held));
  { const LingeringThreads none = release_threads(releases); }
  if (!wait_stopped(held.pid)) {
    ::kill(held.pid, SIGSTOP);
    wait_stopped(held.pid);
  }
  if (parent == nullptr) return;
  Batch batch = parent->batch();
  if (held.image.process.stop_reported)
    batch.may(SYS_waitid, P_PID, held.pid, batch.space(sizeof(siginfo_t)), WSTOPPED | WNOHANG, 0);
  // The parent has seen the signal, or has it among its pending ones, which takes no second one.
  const auto is_sigchld = [](const QueuedSignal& queued) {
    int signal = 0;
    std::memcpy(&signal, queued.info.data(), sizeof signal);
    return signal == SIGCHLD;
  };
  const auto& pending = parent->image.signals.pending;
  if (std::none_of(pending.begin(), pending.end(), is_sigchld))
    batch.may(SYS_rt_sigtimedwait, batch.push_value(std::uint64_t{1} << (SIGCHLD - 1)), 0, batch.push_value(timespec{}),
              8);
  parent->run(batch);
}

}  // namespace drover
