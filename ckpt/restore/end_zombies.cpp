// Zombies: processes that end again, as those did that they stand for, and that their parents have not waited for yet.
#include <fmt/format.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"

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

// Would a core file go to the working directory? Else it goes to where all of this node's go, or to a program that
// collects them (core(5)), which have nothing to do with it.
static bool core_file_goes_here() {
  std::string pattern = try_read_text("/proc/sys/kernel/core_pattern").value_or("");
  while (!pattern.empty() && pattern.back() == '\n') pattern.pop_back();
  return !pattern.empty() && pattern.front() != '|' && pattern.front() != '@' && pattern.find('/') == pattern.npos;
}

// Only a core file that is really written makes the kernel tell wait(2) of one (fs/coredump.c). It goes to the root of
// a file system in memory that hangs nowhere and ends with the process (fsmount(2), Linux >= 5.2). True if it may come.
static bool prepare_core_file(HeldProcess& held) {
  constexpr int kContext = 0, kMount = 1;  // all descriptors have been closed
  constexpr rlimit kOnePage{4096, 4096};   // with less there is none (elf_format.min_coredump); the rest is cut off
  Batch batch = held.batch();
  batch.may(SYS_fsopen, batch.push_string("tmpfs"), 0);
  batch.may(SYS_fsconfig, kContext, FSCONFIG_CMD_CREATE, 0, 0, 0);
  batch.may(SYS_fsmount, kContext, 0, 0);
  const auto away = batch.may(SYS_fchdir, kMount);
  held.run(batch);
  if (batch.result(away) != 0) return false;
  batch.clear();
  batch.may(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
  const auto limit = batch.may(SYS_prlimit64, 0, RLIMIT_CORE, batch.push_value(kOnePage), 0);
  held.run(batch);
  return batch.result(limit) == 0;
}

static void die_of(HeldProcess& held, int signal, bool with_core_file) {
  struct KernelAction {
    std::uint64_t handler, flags, restorer, mask;
  };
  // Of a limit of 0 a program that collects core files takes no notice, of 1 it does (fs/coredump.c).
  constexpr rlimit kNoCoreFile{1, 1};
  Batch batch = held.batch();
  if (signal != SIGKILL) batch.must("rt_sigaction", SYS_rt_sigaction, signal, batch.push_value(KernelAction{}), 0, 8);
  held.run(batch);
  if (!with_core_file || !core_file_goes_here() || !prepare_core_file(held)) {
    batch.clear();
    batch.may(SYS_prlimit64, 0, RLIMIT_CORE, batch.push_value(kNoCoreFile), 0);
    held.run(batch);
  }
  held.leader().tracee().set_signal_mask(0);
  ::kill(held.pid, signal);
  if (signal != SIGKILL) held.leader().tracee().resume(PTRACE_CONT);  // by that one it ends also where it stands
}

// How it has ended, as wait(2) tells it.
static int end(HeldProcess& held) {
  Batch batch = held.batch();
  batch.must("PR_SET_NAME", SYS_prctl, PR_SET_NAME, batch.push_string(held.image.process.name), 0, 0, 0);
  batch.must("close_range", SYS_close_range, 0, ~0U, 0);
  held.run(batch);
  const int status = held.image.process.exit_status;
  if (WIFSIGNALED(status))
    die_of(held, WTERMSIG(status), WCOREDUMP(status));
  else
    exit_with(held, syscall_instruction(held), WEXITSTATUS(status));
  const Tracee tracee(held.pid);
  for (;;) {
    const auto stop = tracee.wait_for(kEndDeadlineNs);
    if (!stop) throw SystemError("end the zombie", std::to_string(held.pid), ETIMEDOUT);
    held.made = !stop->exited();
    if (!held.made) {
      held.threads.clear();
      return stop->status;
    }
    tracee.resume(PTRACE_CONT, stop->event() == 0 ? stop->signal() : 0);
  }
}

void forget_signal(HeldProcess& held, int signal) {
  if (signal <= 0) return;
  Batch batch = held.batch();
  const std::uint64_t set = batch.push_value(std::uint64_t{1} << (signal - 1));
  const std::uint64_t now = batch.push_value(timespec{});
  batch.may(SYS_rt_sigtimedwait, set, 0, now, 8);
  held.run(batch);
}

void end_zombies(RestoredTree& tree) {
  for (HeldProcess& held : tree.processes) {
    if (!held.zombie()) continue;
    const ProcessState& state = held.image.process;
    const int status = end(held);
    if (WIFSIGNALED(state.exit_status) && WCOREDUMP(state.exit_status) && !WCOREDUMP(status))
      tree.notes.push_back(fmt::format(
          "process {} ({}) had left a core file, of which its parent will not hear: {}", held.pid, state.name,
          core_file_goes_here() ? "none can be made here" : "kernel.core_pattern leads elsewhere"));
    for (HeldProcess& parent : tree.processes) {
      if (parent.pid == state.parent && !parent.zombie()) forget_signal(parent, state.exit_signal);
    }
  }
}

}  // namespace drover
