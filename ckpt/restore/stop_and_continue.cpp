// Processes that were stopped and go on, of which their parents have not been told by wait(2) yet: the kernel tells of
// it once, and only after it has happened (SIGNAL_STOP_CONTINUED in kernel/signal.c, prepare_signal()).
#include <sys/ptrace.h>

#include <csignal>
#include <string>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"

namespace drover {

template <class Condition>
static void go_on_until(const HeldProcess& held, Condition&& reached) {
  constexpr std::int64_t kDeadlineNs = 3'000'000'000;
  const Tracee tracee(held.pid);
  for (int signal = 0;;) {
    tracee.resume(PTRACE_CONT, signal);
    const auto stop = tracee.wait_for(kDeadlineNs);
    if (!stop || stop->exited()) throw SystemError("stop and continue", std::to_string(held.pid), ETIMEDOUT);
    if (reached(*stop)) return;
    signal = stop->event() == 0 ? stop->signal() : 0;
  }
}

static void stop_and_continue(HeldProcess& held) {
  ::kill(held.pid, SIGSTOP);
  go_on_until(held, [](const TraceStop& stop) { return stop.group_stop(); });
  // It wakes the process whether it is blocked or not, and stays in the queue. A traced process stops once more, before
  // its next instruction (ptrace_trap_notify()).
  ::kill(held.pid, SIGCONT);
  go_on_until(held, [](const TraceStop& stop) { return stop.interrupted(); });
  forget_signal(held, SIGCONT);
}

void stop_and_continue(RestoredTree& tree) {
  for (HeldProcess& held : tree.processes) {
    if (held.zombie() || !held.image.process.continued || held.image.process.stopped_by != 0) continue;
    for (HeldProcess& parent : tree.processes) {
      if (parent.pid != held.image.process.parent || parent.zombie()) continue;
      stop_and_continue(held);
      forget_signal(parent, SIGCHLD);
    }
  }
}

}  // namespace drover
