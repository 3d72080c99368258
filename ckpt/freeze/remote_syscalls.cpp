#include "ckpt/freeze/remote_syscalls.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "ckpt/sys/error.h"

extern "C" const std::byte drover_runner_begin[], drover_runner_end[];

namespace drover {

// All blocked but SIGTRAP, with which the runner stops.
static constexpr std::uint64_t kWorkingMask = ~(std::uint64_t{1} << (SIGTRAP - 1));

static std::size_t runner_bytes() { return static_cast<std::size_t>(drover_runner_end - drover_runner_begin); }

void RemoteArea::install(const RemoteMemory& memory) const {
  memory.write(address, std::span(drover_runner_begin, runner_bytes()));
}

RemoteSyscalls::RemoteSyscalls(const RemoteMemory& memory, pid_t tid)
    : memory_(memory), tracee_(tid), saved_(tracee_.registers()), saved_mask_(tracee_.signal_mask()) {
  tracee_.set_signal_mask(kWorkingMask);
}

RemoteSyscalls::~RemoteSyscalls() {
  try {
    tracee_.set_registers(saved_);
    tracee_.set_signal_mask(saved_mask_);
    if (stop_signal_kept_) ::syscall(SYS_tkill, tracee_.tid(), SIGSTOP);
  } catch (const std::exception&) {  // the thread is gone: nothing to put back
  }
}

void RemoteSyscalls::set_final(const Registers& registers, std::uint64_t mask) {
  saved_ = registers;
  saved_mask_ = mask;
}

// Passes over the stops that are not what we wait for: other threads being born, and stop signals.
TraceStop RemoteSyscalls::wait_ours(bool at_syscall) {
  for (;;) {
    const TraceStop stop = tracee_.wait();
    if (at_syscall ? stop.at_syscall() : (stop.event() == 0 && stop.signal() == SIGTRAP)) return stop;
    if (stop.event() == 0 && stop.signal() == SIGSTOP)
      stop_signal_kept_ = true;
    else if (stop.event() == 0 && !stop.at_syscall())
      throw SystemError("system call in another process stopped by signal " + std::to_string(stop.signal()), {},
                        EFAULT);
    tracee_.resume(at_syscall ? PTRACE_SYSCALL : PTRACE_CONT);
  }
}

long RemoteSyscalls::call_at(std::uint64_t instruction, long number, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                             std::uint64_t d, std::uint64_t e, std::uint64_t f) {
  Registers registers = saved_;
  registers.rip = instruction;
  registers.rax = static_cast<std::uint64_t>(number);
  registers.orig_rax = ~0ULL;  // not in a system call: the kernel must not restart one
  registers.rdi = a, registers.rsi = b, registers.rdx = c, registers.r10 = d, registers.r8 = e, registers.r9 = f;
  tracee_.set_registers(registers);
  tracee_.resume(PTRACE_SYSCALL);
  wait_ours(true);
  tracee_.resume(PTRACE_SYSCALL);
  wait_ours(true);
  const auto result = static_cast<long>(tracee_.registers().rax);
  // From a syscall-exit stop the kernel would not look at a restartable result again (it does so in get_signal() only):
  // bring the thread from here into the kind of stop that it came from, with its own registers in place.
  tracee_.set_registers(saved_);
  tracee_.interrupt();
  tracee_.resume(PTRACE_CONT);
  while (tracee_.wait().event() != PTRACE_EVENT_STOP) tracee_.resume(PTRACE_CONT);
  return result;
}

void RemoteSyscalls::start(const RemoteArea& area, const Batch& batch) {
  const auto calls = std::as_bytes(batch.calls());
  const iovec remote[] = {{reinterpret_cast<void*>(batch.slot()), calls.size()},
                          {reinterpret_cast<void*>(batch.data_address()), batch.data().size()}};
  std::vector<std::byte> bytes(calls.begin(), calls.end());
  bytes.insert(bytes.end(), batch.data().begin(), batch.data().end());
  memory_.write_ranges(std::span(remote, batch.data().empty() ? 1 : 2), bytes);
  Registers registers = saved_;
  registers.rip = area.runner();
  registers.orig_rax = ~0ULL;
  registers.rbx = batch.slot();
  registers.r12 = batch.size();
  tracee_.set_registers(registers);
  tracee_.resume(PTRACE_CONT);
}

void RemoteSyscalls::finish(Batch& batch) {
  wait_ours(false);
  tracee_.set_registers(saved_);
  std::vector<Batch::Call> calls(batch.size());
  memory_.read(batch.slot(), std::as_writable_bytes(std::span(calls)));
  batch.set_results(calls);
  batch.check_results();
}

void RemoteSyscalls::run(const RemoteArea& area, Batch& batch) {
  if (batch.empty()) return;
  start(area, batch);
  finish(batch);
}

}  // namespace drover
