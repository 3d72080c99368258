// Zombies: processes that end again, as those did that they stand for, and that their parents have not waited for yet.
#include <fmt/format.h>
#include <linux/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"

namespace drover {

static constexpr std::int64_t kEndDeadlineNs = 3'000'000'000;

static void exit_with(const HeldProcess& held, std::uint64_t syscall_instruction, int code) {
  const Tracee& tracee = held.threads.front()->tracee();
  Registers registers = held.threads.front()->saved_registers();
  registers.rip = syscall_instruction;
  registers.rax = SYS_exit_group;
  registers.orig_rax = ~0ULL;
  registers.rdi = static_cast<std::uint64_t>(code);
  tracee.set_registers(registers);
  tracee.resume(PTRACE_CONT);
}

// Without a core file; that there was one can't be told again (core(5)).
static void die_of(HeldProcess& held, int signal) {
  struct KernelAction {
    std::uint64_t handler, flags, restorer, mask;
  };
  Batch batch = held.batch();
  if (signal != SIGKILL) batch.must("rt_sigaction", SYS_rt_sigaction, signal, batch.push_value(KernelAction{}), 0, 8);
  batch.must("no core file", SYS_prlimit64, 0, RLIMIT_CORE, batch.push_value(rlimit{0, 0}), 0);
  held.run(batch);
  held.leader().tracee().set_signal_mask(0);
  ::kill(held.pid, signal);
  held.leader().tracee().resume(PTRACE_CONT);
}

static void end(HeldProcess& held) {
  Batch batch = held.batch();
  batch.must("PR_SET_NAME", SYS_prctl, PR_SET_NAME, batch.push_string(held.image.process.name), 0, 0, 0);
  batch.must("close_range", SYS_close_range, 0, ~0U, 0);
  held.run(batch);
  const int status = held.image.process.exit_status;
  if (WIFSIGNALED(status))
    die_of(held, WTERMSIG(status));
  else
    exit_with(held, syscall_instruction(held), WEXITSTATUS(status));
  const Tracee tracee(held.pid);
  for (;;) {
    const auto stop = tracee.wait_for(kEndDeadlineNs);
    if (!stop) throw SystemError("end the zombie", std::to_string(held.pid), ETIMEDOUT);
    if (stop->exited()) break;
    tracee.resume(PTRACE_CONT, stop->event() == 0 ? stop->signal() : 0);
  }
  held.made = false;
  held.threads.clear();
}

// What the ends have raised in the parents; what really was pending is queued later.
static void forget_signals(HeldProcess& parent, int signal) {
  if (signal <= 0) return;
  Batch batch = parent.batch();
  const std::uint64_t set = batch.push_value(std::uint64_t{1} << (signal - 1));
  const std::uint64_t now = batch.push_value(timespec{});
  batch.may(SYS_rt_sigtimedwait, set, 0, now, 8);
  parent.run(batch);
}

void end_zombies(RestoredTree& tree) {
  for (HeldProcess& held : tree.processes) {
    if (!held.zombie()) continue;
    const ProcessState& state = held.image.process;
    end(held);
    for (HeldProcess& parent : tree.processes) {
      if (parent.pid == state.parent && !parent.zombie()) forget_signals(parent, state.exit_signal);
    }
  }
}

}  // namespace drover
