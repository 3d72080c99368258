#include "ckpt/freeze/remote_syscalls.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "ckpt/freeze/interrupted_call.h"
#include "ckpt/sys/error.h"

extern "C" const std::byte drover_runner_begin[], drover_runner_home[], drover_runner_end[];

namespace drover {

namespace {

// Below where rsp points while a batch runs; the runner pops the registers in this order.
struct WayHome {
  std::uint64_t mask;
  Registers registers;
};

}  // namespace

static std::uint64_t working_mask(int stop_signal) { return ~(std::uint64_t{1} << (stop_signal - 1)); }

std::span<const std::byte> runner_code() {
  return {drover_runner_begin, static_cast<std::size_t>(drover_runner_end - drover_runner_begin)};
}

void RemoteArea::install(const RemoteMemory& memory) const { memory.write(address, runner_code()); }

RemoteSyscalls::RemoteSyscalls(const RemoteMemory& memory, pid_t tid, std::size_t slot, int stop_signal)
    : memory_(memory),
      tracee_(tid),
      saved_(tracee_.registers()),
      saved_mask_(tracee_.signal_mask()),
      slot_(slot),
      stop_signal_(stop_signal),
      keeps_blocked_(false) {}

RemoteSyscalls::RemoteSyscalls(const RemoteMemory& memory, pid_t tid, std::size_t slot)
    : RemoteSyscalls(memory, tid, slot, SIGTRAP) {
  keeps_blocked_ = true;
  home_ = false;
  tracee_.set_signal_mask(working_mask(stop_signal_));
}

RemoteSyscalls::~RemoteSyscalls() {
  try {
    if (!home_) {
      if (!keeps_blocked_) tracee_.set_signal_mask(saved_mask_);  // before the registers: see come_back()
      tracee_.set_registers(saved_);
      tracee_.set_signal_mask(saved_mask_);
    }
    if (stop_signal_kept_) ::syscall(SYS_tkill, tracee_.tid(), SIGSTOP);
  } catch (const std::exception&) {  // the thread is gone: nothing to put back
  }
}

void RemoteSyscalls::set_final(const Registers& registers, std::uint64_t mask) {
  saved_ = registers;
  saved_mask_ = mask;
  home_ = false;
}

// Passes over the stops that are not what we wait for: other threads being born, and stop signals.
TraceStop RemoteSyscalls::wait_ours(bool at_syscall) {
  for (;;) {
    const TraceStop stop = tracee_.wait();
    if (at_syscall && stop.at_syscall()) return stop;
    if (!at_syscall && stop.event() == 0 && stop.signal() == stop_signal_) {
      // One from somebody else comes before the end, and would have been ignored.
      const auto home = static_cast<std::uint64_t>(drover_runner_home - drover_runner_begin);
      if (keeps_blocked_ || tracee_.registers().rip == runner_ + home) return stop;
      tracee_.resume(PTRACE_CONT);
      continue;
    }
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
  home_ = false;
  if (!keeps_blocked_) tracee_.set_signal_mask(working_mask(stop_signal_));
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
  if (!keeps_blocked_) tracee_.set_signal_mask(saved_mask_);
  home_ = !keeps_blocked_;
  return result;
}

// What the kernel does when it lets a thread with a restartable result go on (arch_do_signal_or_restart()).
static Registers restarted(Registers registers) {
  if (static_cast<std::int64_t>(registers.orig_rax) < 0) return registers;
  switch (static_cast<std::int64_t>(registers.rax)) {
    case kRestartSys:
    case kRestartNoIntr:
    case kRestartNoHand:
      registers.rax = registers.orig_rax;
      registers.rip -= 2;
      break;
    case kRestartBlock:
      registers.rax = SYS_restart_syscall;
      registers.rip -= 2;
      break;
    default:
      break;
  }
  return registers;
}

// Registers before the mask, and the mask before the registers in come_back(): if we die in between, the thread is in
// the runner, which finds the way home with any mask.
void RemoteSyscalls::set_off(std::uint64_t runner, std::uint64_t first_call, std::size_t calls,
                             std::uint64_t home_end) {
  Registers registers = saved_;
  registers.rip = runner_ = runner;
  registers.orig_rax = ~0ULL;
  registers.eflags &= ~std::uint64_t{0x500};  // direction, single step
  registers.rsp = home_end - sizeof(Registers);
  registers.rbx = first_call;
  registers.r12 = calls;
  registers.r13 = static_cast<std::uint64_t>(stop_signal_);
  home_ = false;
  tracee_.set_registers(registers);
  if (!keeps_blocked_) tracee_.set_signal_mask(working_mask(stop_signal_));
  tracee_.resume(PTRACE_CONT);
}

void RemoteSyscalls::come_back() {
  wait_ours(false);
  if (!keeps_blocked_) tracee_.set_signal_mask(saved_mask_);
  tracee_.set_registers(saved_);
  home_ = !keeps_blocked_;
}

long RemoteSyscalls::call_on_stack(std::uint64_t runner, long number, std::initializer_list<std::uint64_t> args) {
  Batch::Call call{};
  call.word[0] = static_cast<std::uint64_t>(number);
  std::copy(args.begin(), args.end(), call.word + 1);
  // Below the red zone nothing is the program's (System V ABI, 3.2.2).
  const std::uint64_t at = (saved_.rsp - 128 - sizeof call) & ~std::uint64_t{63};
  memory_.store(at, call);
  memory_.store(at - sizeof(WayHome), WayHome{saved_mask_, restarted(saved_)});
  set_off(runner, at, 1, at);
  come_back();
  return static_cast<long>(memory_.load<Batch::Call>(at).word[7]);
}

void RemoteSyscalls::start(const RemoteArea& area, const Batch& batch) {
  std::vector<iovec> remote;
  std::vector<std::byte> bytes;
  const auto add = [&](std::uint64_t address, std::span<const std::byte> part) {
    if (part.empty()) return;
    remote.push_back({reinterpret_cast<void*>(address), part.size()});
    bytes.insert(bytes.end(), part.begin(), part.end());
  };
  add(batch.slot(), std::as_bytes(batch.calls()));
  add(batch.data_address(), batch.data());
  // Who dies with us needs none.
  const WayHome home{saved_mask_, restarted(saved_)};
  if (!keeps_blocked_) add(area.home_end(slot_) - sizeof home, std::as_bytes(std::span(&home, 1)));
  memory_.write_ranges(remote, bytes);
  set_off(area.runner(), batch.slot(), batch.size(), area.home_end(slot_));
}

void RemoteSyscalls::finish(Batch& batch) {
  come_back();
  const std::size_t results = batch.size() * sizeof(Batch::Call);
  const auto data = batch.wants_data() ? batch.writable_data() : std::span<std::byte>();
  const iovec remote[] = {{reinterpret_cast<void*>(batch.slot()), results},
                          {reinterpret_cast<void*>(batch.data_address()), data.size()}};
  std::vector<std::byte> bytes(results + data.size());
  memory_.read_ranges(std::span(remote, data.empty() ? 1 : 2), bytes);
  batch.set_results(std::span(bytes).first(results));
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(results), data.size(), data.begin());
  batch.check_results();
}

void RemoteSyscalls::run(const RemoteArea& area, Batch& batch) {
  if (batch.empty()) return;
  start(area, batch);
  finish(batch);
}

}  // namespace drover
