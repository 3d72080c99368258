// Dispositions first, then the queued signals: setting a disposition to "ignore" would throw queued ones away.
#include <sys/syscall.h>

#include <csignal>
#include <cstring>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

namespace drover {

struct KernelAction {
  std::uint64_t handler, flags, restorer, mask;
};

static void set_actions(HeldProcess& held) {
  Batch batch = held.batch();
  // The blank process has inherited what its maker ignores (execve(2)).
  const std::uint64_t ignored = parse_task_status(read_record(proc_path(held.pid, "status"))).ignored;
  const std::uint64_t none = batch.push_value(KernelAction{});
  for (int signal = 1; signal <= 64; ++signal) {
    if ((ignored >> (signal - 1) & 1) != 0) batch.must("rt_sigaction", SYS_rt_sigaction, signal, none, 0, 8);
  }
  for (const SignalAction& action : held.image.signals.actions) {
    const KernelAction wanted{action.handler, action.flags, action.restorer, action.mask};
    batch.must("rt_sigaction", SYS_rt_sigaction, action.signal, batch.push_value(wanted), 0, 8);
  }
  held.run(batch);
}

static int signal_of(const QueuedSignal& queued) {
  int signal = 0;
  std::memcpy(&signal, queued.info.data(), sizeof signal);
  return signal;
}

// A siginfo that claims to come from the kernel or from kill() is only accepted from the receiver itself
// (rt_sigqueueinfo(2), do_rt_sigqueueinfo()): the process's own by the leader, a thread's by that thread.
static void queue(HeldProcess& held, std::size_t index, const std::vector<QueuedSignal>& pending, bool shared) {
  const pid_t tid = held.image.threads[index].tid;
  Batch batch = index == 0 ? held.batch() : held.area.batch(index);
  for (const QueuedSignal& queued : pending) {
    if (batch.room() < 1024) {
      held.threads[index]->run(held.area, batch);
      batch.clear();
    }
    const int signal = signal_of(queued);
    if (signal == SIGKILL || signal == SIGSTOP || signal == SIGTRAP) continue;
    if (shared)
      batch.must("rt_sigqueueinfo", SYS_rt_sigqueueinfo, held.pid, signal, batch.push_value(queued));
    else
      batch.must("rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, held.pid, tid, signal, batch.push_value(queued));
  }
  held.threads[index]->run(held.area, batch);
}

void restore_signals(HeldProcess& held) {
  if (held.shared().handlers == 0) set_actions(held);
  queue(held, 0, held.image.signals.pending, true);
  for (std::size_t i = 0; i < held.threads.size(); ++i) queue(held, i, held.image.threads[i].pending, false);
}

}  // namespace drover
