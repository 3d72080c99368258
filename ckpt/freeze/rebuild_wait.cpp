#include "ckpt/freeze/rebuild_wait.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <csignal>

namespace drover {

Registers rebuild_wait(const Tracee& tracee, const RemoteMemory& memory, const Registers& wanted,
                       const TimeoutArgument& timeout, std::int64_t rest_ns, std::uint64_t scratch,
                       std::uint64_t instruction) {
  Registers registers = wanted;
  memory.store(scratch, timespec{rest_ns / 1'000'000'000, rest_ns % 1'000'000'000});
  argument_register(registers, timeout.argument) =
      timeout.form == TimeoutForm::Timespec ? scratch : static_cast<std::uint64_t>((rest_ns + 999'999) / 1'000'000);
  registers.rip = instruction;
  registers.rax = wanted.orig_rax;
  registers.orig_rax = ~0ULL;
  tracee.set_registers(registers);
  bool stop_signal_came = false;  // the only one that can't be blocked
  tracee.resume(PTRACE_SYSCALL);
  for (TraceStop stop = tracee.wait(); !stop.at_syscall(); stop = tracee.wait()) {
    stop_signal_came |= stop.event() == 0 && stop.signal() == SIGSTOP;
    tracee.resume(PTRACE_SYSCALL);
  }
  tracee.interrupt();
  tracee.resume(PTRACE_CONT);
  for (TraceStop stop = tracee.wait(); !stop.interrupted(); stop = tracee.wait()) {
    stop_signal_came |= stop.event() == 0 && stop.signal() == SIGSTOP;
    tracee.interrupt();  // any stop takes a pending one back (ptrace_stop())
    tracee.resume(PTRACE_CONT);
  }
  if (stop_signal_came) ::syscall(SYS_tkill, tracee.tid(), SIGSTOP);
  Registers result = wanted;
  result.rax = tracee.registers().rax;
  if (static_cast<std::int64_t>(result.rax) != kRestartBlock) result.orig_rax = ~0ULL;
  return result;
}

}  // namespace drover
