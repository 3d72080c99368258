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

// A call that went on through restart_syscall once shows that number. Its real one stands in the code, in the
// instruction that loaded it ("mov $35,%eax", b8 23 00 00 00) shortly before the `syscall` that rip follows.
static long call_before_restart(const RemoteMemory& memory, const Registers& registers) {
  std::array<unsigned char, 48> code{};
  const std::uint64_t begin = registers.rip - code.size();
  if (!memory.try_read(begin, std::as_writable_bytes(std::span(code))))
    throw SystemError("read code before", fmt::format("{:#x}", static_cast<std::uint64_t>(registers.rip)), EFAULT);
  for (std::size_t at = code.size() - 7; at > 0; --at) {
    std::uint32_t number = 0;
    std::memcpy(&number, &code[at + 1], sizeof number);
    if (code[at] == 0xb8 && restart_block_call(static_cast<long>(number), registers)) return static_cast<long>(number);
  }
  throw SystemError("find the system call that was restarted before",
                    fmt::format("{:#x}", static_cast<std::uint64_t>(registers.rip)), ENOSYS);
}

static WaitState rest_of(const RemoteMemory& memory, const TimeoutArgument& timeout, Registers registers,
                         std::int64_t whole_ns, const std::optional<LastRun>& before, std::int64_t stopped_at_ns) {
  if (timeout.remainder >= 0) {
    const auto rest = read_timespec(memory, argument_register(registers, timeout.remainder));
    if (rest) return {std::min(*rest, whole_ns), false};
  }
  // The thread last ran just before it fell asleep: that is when its time began, or a little later, never earlier.
  const auto began = before ? before->slept_since_ns() : std::nullopt;
  if (!began) return {whole_ns, true};
  return {std::clamp<std::int64_t>(whole_ns - (stopped_at_ns - *began), 0, whole_ns), true};
}

InterruptedCall examine_call(const RemoteMemory& memory, const Registers& registers, bool signal_about_to_be_delivered,
                             const std::optional<LastRun>& before, std::int64_t stopped_at_ns) {
  InterruptedCall call{registers, std::nullopt};
  const auto result = static_cast<std::int64_t>(registers.rax);
  const auto number = static_cast<std::int64_t>(registers.orig_rax);
  if (number < 0) return call;
  if (result == kRestartBlock) {
    if (number == SYS_restart_syscall)
      call.registers.orig_rax = static_cast<std::uint64_t>(call_before_restart(memory, registers));
    const auto timeout = restart_block_call(static_cast<long>(call.registers.orig_rax), registers);
    if (!timeout) throw SystemError("know system call", std::to_string(number), ENOSYS);
    if (const auto whole = whole_timeout(memory, *timeout, registers))
      call.wait = rest_of(memory, *timeout, registers, *whole, before, stopped_at_ns);
    return call;
  }
  if (result != -EINTR || signal_about_to_be_delivered) return call;
  const auto timeout = eintr_call(static_cast<long>(number));
  if (!timeout) return call;
  if (const auto whole = whole_timeout(memory, *timeout, registers); whole && *whole > 0) {
    call.wait = rest_of(memory, *timeout, registers, *whole, before, stopped_at_ns);
  } else {
    call.registers.rax = registers.orig_rax;
    call.registers.orig_rax = ~0ULL;
    call.registers.rip -= 2;  // back onto the `syscall` instruction
  }
  return call;
}

void shorten_written_timeout(const RemoteMemory& memory, const Registers& registers, std::int64_t passed_ns) {
  if (static_cast<std::int64_t>(registers.rax) != kRestartNoHand) return;
  const auto number = static_cast<long>(registers.orig_rax);
  const bool timeval = number == SYS_select;  // microseconds in the second word, not nanoseconds
  if (!timeval && number != SYS_ppoll && number != SYS_pselect6) return;
  const std::uint64_t address = number == SYS_ppoll ? registers.rdx : registers.r8;
  timespec rest{};
  if (address == 0 || !memory.try_read(address, std::as_writable_bytes(std::span(&rest, 1)))) return;
  if (rest.tv_sec > 1'000'000'000) return;  // as good as for ever
  const std::int64_t unit = timeval ? 1000 : 1;
  const std::int64_t left = std::max<std::int64_t>(
      0, rest.tv_sec * 1'000'000'000 + rest.tv_nsec * unit - std::max<std::int64_t>(0, passed_ns));
  rest = {left / 1'000'000'000, (left % 1'000'000'000 + unit - 1) / unit};
  memory.try_write(address, std::as_bytes(std::span(&rest, 1)));
}

}  // namespace drover
