#include "ckpt/freeze/interrupted_call.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "ckpt/sys/error.h"

namespace drover {

Registers issued_again(Registers registers) {
  registers.rax = static_cast<std::uint64_t>(kRestartNoHand);
  return registers;
}

std::uint64_t& argument_register(Registers& r, int argument) {
  static_assert(sizeof(r.rdi) == sizeof(std::uint64_t));
  unsigned long long* const place[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
  return reinterpret_cast<std::uint64_t&>(*place[argument]);
}

std::optional<TimeoutArgument> eintr_call(long number) {
  switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return TimeoutArgument{TimeoutForm::Milliseconds, 3};
    case SYS_epoll_pwait2:
      return TimeoutArgument{TimeoutForm::Timespec, 3};
    case SYS_rt_sigtimedwait:
      return TimeoutArgument{TimeoutForm::Timespec, 2};
    case SYS_semtimedop:
      return TimeoutArgument{TimeoutForm::Timespec, 3};
    case SYS_io_getevents:
    case SYS_io_pgetevents:
      return TimeoutArgument{TimeoutForm::Timespec, 4};
    case SYS_semop:
    // With SO_RCVTIMEO or SO_SNDTIMEO; re-issued with the socket's whole timeout.
    case SYS_read:
    case SYS_readv:
    case SYS_write:
    case SYS_writev:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_accept:
    case SYS_accept4:
      return TimeoutArgument{};
    default:
      return std::nullopt;
  }
}

std::optional<TimeoutArgument> restart_block_call(long number, const Registers& registers) {
  switch (number) {
    case SYS_nanosleep:
      return TimeoutArgument{TimeoutForm::Timespec, 0, 1};
    case SYS_clock_nanosleep:
      return TimeoutArgument{TimeoutForm::Timespec, 2, 3};
    case SYS_poll:
      return TimeoutArgument{TimeoutForm::Milliseconds, 2};
    case SYS_futex:
      // FUTEX_WAIT_BITSET takes an absolute time: simply issued again, it is exact.
      if ((registers.rsi & FUTEX_CMD_MASK) == FUTEX_WAIT) return TimeoutArgument{TimeoutForm::Timespec, 3};
      return TimeoutArgument{};
    default:
      return std::nullopt;
  }
}

static std::optional<std::int64_t> read_timespec(const RemoteMemory& memory, std::uint64_t address) {
  timespec time{};
  if (address == 0 || !memory.try_read(address, std::as_writable_bytes(std::span(&time, 1)))) return std::nullopt;
  return static_cast<std::int64_t>(std::min<long>(time.tv_sec, 1'000'000'000)) * 1'000'000'000 + time.tv_nsec;
}

// The whole timeout; empty if the call waits for ever.
static std::optional<std::int64_t> whole_timeout(const RemoteMemory& memory, const TimeoutArgument& timeout,
                                                 Registers registers) {
  const std::uint64_t value = argument_register(registers, timeout.argument);
  if (timeout.form == TimeoutForm::Timespec) return read_timespec(memory, value);
  const auto milliseconds = static_cast<std::int32_t>(value);
  if (timeout.form == TimeoutForm::None || milliseconds < 0) return std::nullopt;
  return std::int64_t{milliseconds} * 1'000'000;
}

// A call that went on through restart_syscall once shows that number. Its real one stands in the code as a rule, in the
// instruction that loaded it ("mov $35,%eax", b8 23 00 00 00) shortly before the `syscall` that rip follows.
static std::optional<long> call_in_code(const RemoteMemory& memory, const Registers& registers) {
  std::array<unsigned char, 48> code{};
  const std::uint64_t begin = registers.rip - code.size();
  if (!memory.try_read(begin, std::as_writable_bytes(std::span(code)))) return std::nullopt;
  for (std::size_t at = code.size() - 7; at > 0; --at) {
    std::uint32_t number = 0;
    std::memcpy(&number, &code[at + 1], sizeof number);
    if (code[at] == 0xb8 && restart_block_call(static_cast<long>(number), registers)) return static_cast<long>(number);
  }
  return std::nullopt;
}

// syscall(3) took the number from an argument that is overwritten since (Rust and Go wait on futexes like this); but
// the thread slept in a function of the kernel that belongs to one call, or to two that can be told apart.
static std::optional<long> call_by_wait_channel(const std::string& function, const Registers& registers) {
  const auto in = [&](const char* part) { return function.find(part) != std::string::npos; };
  if (in("futex")) return SYS_futex;
  if (in("poll")) return SYS_poll;
  if (!in("nanosleep")) return std::nullopt;
  return registers.rdi < 4096 ? SYS_clock_nanosleep : SYS_nanosleep;  // a clock, or a pointer
}

static long call_before_restart(const RemoteMemory& memory, const Registers& registers, const BeforeStop& before) {
  if (const auto& known = before.known; known && known->rip == registers.rip && known->rsp == registers.rsp)
    return static_cast<long>(known->call);
  if (const auto number = call_in_code(memory, registers)) return *number;
  if (before.last_run)
    if (const auto number = call_by_wait_channel(before.last_run->wait_channel, registers)) return *number;
  throw SystemError("find the system call that was restarted before",
                    fmt::format("{:#x}", static_cast<std::uint64_t>(registers.rip)), ENOSYS);
}

// Is the thread still in the call that it was let go in? It shows restart_syscall then. So does a later call in the
// same place that SIGSTOP and SIGCONT have interrupted, but such a thread has run since.
static bool still_in(const KnownWait& known, const Registers& shown, long call,
                     const std::optional<LastRun>& last_run) {
  constexpr std::int64_t kRestarts = 1'000'000'000;  // a busy node may take its time to let the thread restart the call
  if (static_cast<long>(shown.orig_rax) != SYS_restart_syscall || known.call != call) return false;
  if (known.rip != shown.rip || known.rsp != shown.rsp) return false;
  const auto ran = last_run ? last_run->slept_since_ns() : std::nullopt;
  return !ran || *ran < known.released_ns + kRestarts;
}

// At `frozen_at_ns`.
static WaitState rest_of(const RemoteMemory& memory, const TimeoutArgument& timeout, Registers registers,
                         std::int64_t whole_ns, const BeforeStop& before, std::int64_t frozen_at_ns) {
  const auto within = [whole_ns](std::int64_t rest) { return std::clamp<std::int64_t>(rest, 0, whole_ns); };
  if (timeout.remainder >= 0) {  // written when this thread stopped
    const auto rest = read_timespec(memory, argument_register(registers, timeout.remainder));
    if (rest) return {within(*rest - (frozen_at_ns - before.stopped_at_ns)), false};
  }
  // The thread last ran just before it fell asleep: that is when its time began, or a little later, never earlier.
  const auto began = before.last_run ? before.last_run->slept_since_ns() : std::nullopt;
  return {began ? within(*began + whole_ns - frozen_at_ns) : whole_ns, true};
}

// Where ppoll and select have written the rest of their time, to be issued again with it.
struct WrittenTimeout {
  std::uint64_t address = 0;
  std::int64_t unit = 1;  // select: microseconds in the second word, not nanoseconds
};
static std::optional<WrittenTimeout> written_timeout(const Registers& registers) {
  if (static_cast<std::int64_t>(registers.rax) != kRestartNoHand) return std::nullopt;
  const auto number = static_cast<long>(registers.orig_rax);
  if (number == SYS_ppoll && registers.rdx != 0) return WrittenTimeout{registers.rdx, 1};
  if (number == SYS_pselect6 && registers.r8 != 0) return WrittenTimeout{registers.r8, 1};
  if (number == SYS_select && registers.r8 != 0) return WrittenTimeout{registers.r8, 1000};
  return std::nullopt;
}

static std::optional<std::int64_t> read_written_rest(const RemoteMemory& memory, const Registers& registers) {
  const auto written = written_timeout(registers);
  timespec rest{};
  if (!written || !memory.try_read(written->address, std::as_writable_bytes(std::span(&rest, 1)))) return std::nullopt;
  if (rest.tv_sec > 1'000'000'000) return std::nullopt;  // as good as for ever
  return rest.tv_sec * 1'000'000'000 + rest.tv_nsec * written->unit;
}

void write_rest(const RemoteMemory& memory, const Registers& registers, std::int64_t rest_ns) {
  const auto written = written_timeout(registers);
  if (!written) return;
  const std::int64_t left = std::max<std::int64_t>(0, rest_ns);
  const timespec rest{left / 1'000'000'000, (left % 1'000'000'000 + written->unit - 1) / written->unit};
  memory.try_write(written->address, std::as_bytes(std::span(&rest, 1)));
}

InterruptedCall examine_call(const RemoteMemory& memory, const Registers& registers, bool signal_about_to_be_delivered,
                             const BeforeStop& before, std::int64_t frozen_at_ns) {
  InterruptedCall call{registers, std::nullopt};
  const auto result = static_cast<std::int64_t>(registers.rax);
  const auto number = static_cast<std::int64_t>(registers.orig_rax);
  if (number < 0) return call;
  if (const auto rest = read_written_rest(memory, registers)) {
    call.wait = {std::max<std::int64_t>(0, *rest - (frozen_at_ns - before.stopped_at_ns)), false};
    return call;
  }
  if (result == kRestartBlock) {
    if (number == SYS_restart_syscall)
      call.registers.orig_rax = static_cast<std::uint64_t>(call_before_restart(memory, registers, before));
    const auto timeout = restart_block_call(static_cast<long>(call.registers.orig_rax), registers);
    if (!timeout) throw SystemError("know system call", std::to_string(number), ENOSYS);
    const auto whole = whole_timeout(memory, *timeout, registers);
    if (!whole) return call;
    const auto restarted = static_cast<long>(call.registers.orig_rax);
    if (before.known && still_in(*before.known, registers, restarted, before.last_run))
      call.wait = {std::clamp<std::int64_t>(before.known->deadline_ns - frozen_at_ns, 0, *whole),
                   before.known->estimated};
    else
      call.wait = rest_of(memory, *timeout, registers, *whole, before, frozen_at_ns);
    return call;
  }
  if (result != -EINTR || signal_about_to_be_delivered) return call;
  const auto timeout = eintr_call(static_cast<long>(number));
  if (!timeout) return call;
  if (const auto whole = whole_timeout(memory, *timeout, registers); whole && *whole > 0) {
    if (before.deadline_ns)
      call.wait = {std::clamp<std::int64_t>(*before.deadline_ns - frozen_at_ns, 0, *whole), true};
    else
      call.wait = rest_of(memory, *timeout, registers, *whole, before, frozen_at_ns);
  } else {
    call.registers = issued_again(registers);
  }
  return call;
}

}  // namespace drover
