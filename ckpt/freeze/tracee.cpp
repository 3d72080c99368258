#include "ckpt/freeze/tracee.h"

#include <elf.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <array>
#include <csignal>
#include <cstring>

#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"

namespace drover {

bool TraceStop::exited() const { return WIFEXITED(status) || WIFSIGNALED(status); }
int TraceStop::signal() const { return WSTOPSIG(status); }
int TraceStop::event() const { return status >> 16; }
bool TraceStop::at_syscall() const { return event() == 0 && signal() == (SIGTRAP | 0x80); }
bool TraceStop::interrupted() const { return event() == PTRACE_EVENT_STOP && signal() == SIGTRAP; }
bool TraceStop::group_stop() const { return event() == PTRACE_EVENT_STOP && signal() != SIGTRAP; }

static void* as_pointer(std::uintptr_t value) { return reinterpret_cast<void*>(value); }

long Tracee::request(int request, void* address, void* data, const char* what) const {
  const long result = ::ptrace(static_cast<__ptrace_request>(request), tid_, address, data);
  if (result < 0 && errno == ESRCH) throw TraceeGone(fmt::format("thread {} has ended", tid_));
  return check(result, what, fmt::format("tid {}", tid_));
}

int Tracee::seize(unsigned options) const {
  return ::ptrace(PTRACE_SEIZE, tid_, nullptr, as_pointer(options)) == 0 ? 0 : errno;
}
void Tracee::set_options(unsigned options) const {
  request(PTRACE_SETOPTIONS, nullptr, as_pointer(options), "PTRACE_SETOPTIONS");
}
void Tracee::interrupt() const { request(PTRACE_INTERRUPT, nullptr, nullptr, "PTRACE_INTERRUPT"); }
void Tracee::resume(int how, int signal) const {
  request(how, nullptr, as_pointer(static_cast<std::uintptr_t>(signal)), "PTRACE_CONT");
}
bool Tracee::detach() const noexcept { return ::ptrace(PTRACE_DETACH, tid_, nullptr, nullptr) == 0; }

TraceStop Tracee::wait() const {
  TraceStop stop;
  while (::waitpid(tid_, &stop.status, __WALL) < 0) {
    if (errno == ECHILD) throw TraceeGone(fmt::format("thread {} has ended", tid_));
    if (errno != EINTR) throw SystemError("waitpid", fmt::format("tid {}", tid_), errno);
  }
  if (stop.exited()) throw TraceeGone(fmt::format("thread {} has ended", tid_));
  return stop;
}

std::optional<TraceStop> Tracee::wait_for(std::int64_t timeout_ns) const {
  const std::int64_t begin = clock_ns(CLOCK_MONOTONIC);
  for (;;) {
    TraceStop stop;
    const pid_t found = ::waitpid(tid_, &stop.status, __WALL | WNOHANG);
    if (found == tid_) return stop;
    if (found < 0 && errno == ECHILD) return TraceStop{0};  // status 0: exited with code 0
    const std::int64_t waited = clock_ns(CLOCK_MONOTONIC) - begin;
    if (waited > timeout_ns) return std::nullopt;
    // To stop or to end takes microseconds when the thread can run at all; sleep only if it does not.
    if (waited < 100'000) {
      ::sched_yield();
      continue;
    }
    const timespec pause{0, waited < 1'000'000 ? 20'000 : 500'000};
    ::nanosleep(&pause, nullptr);
  }
}

Registers Tracee::registers() const {
  Registers registers{};
  request(PTRACE_GETREGS, nullptr, &registers, "PTRACE_GETREGS");
  return registers;
}
void Tracee::set_registers(const Registers& registers) const {
  request(PTRACE_SETREGS, nullptr, const_cast<Registers*>(&registers), "PTRACE_SETREGS");
}

// One buffer for all threads: fresh memory for each would cost more than the call.
static thread_local std::array<std::byte, 32 * 1024> xstate_buffer;  // AMX makes it about 11 KiB

std::size_t Tracee::xstate_bytes() const {
  iovec area{xstate_buffer.data(), xstate_buffer.size()};
  request(PTRACE_GETREGSET, as_pointer(NT_X86_XSTATE), &area, "PTRACE_GETREGSET");
  return area.iov_len;
}

std::vector<std::byte> Tracee::xstate() const {
  const auto& buffer = xstate_buffer;
  std::size_t used = xstate_bytes();
  for (std::uint64_t word = 0; used >= sizeof word; used -= sizeof word) {
    std::memcpy(&word, &buffer[used - sizeof word], sizeof word);
    if (word != 0) break;
  }
  return {buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(used)};
}
void Tracee::set_xstate(std::span<const std::byte> state) const {
  iovec area{const_cast<std::byte*>(state.data()), state.size()};
  request(PTRACE_SETREGSET, as_pointer(NT_X86_XSTATE), &area, "PTRACE_SETREGSET");
}

// While a call with a mask of its own sleeps (sigsuspend, ppoll), GETSIGMASK gives the program's mask, and SETSIGMASK
// ends the temporary one: the call puts its mask in place again when it is re-issued.
std::uint64_t Tracee::signal_mask() const {
  std::uint64_t mask = 0;
  request(PTRACE_GETSIGMASK, as_pointer(sizeof mask), &mask, "PTRACE_GETSIGMASK");
  return mask;
}
void Tracee::set_signal_mask(std::uint64_t mask) const {
  request(PTRACE_SETSIGMASK, as_pointer(sizeof mask), &mask, "PTRACE_SETSIGMASK");
}

std::vector<QueuedSignal> Tracee::pending_signals(bool shared) const {
  std::vector<QueuedSignal> all;
  for (;;) {
    std::array<QueuedSignal, 32> some;
    static_assert(sizeof(QueuedSignal) == sizeof(siginfo_t));
    __ptrace_peeksiginfo_args args{};
    args.off = all.size();
    args.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0;
    args.nr = some.size();
    const long n = request(PTRACE_PEEKSIGINFO, &args, some.data(), "PTRACE_PEEKSIGINFO");
    if (n == 0) return all;
    all.insert(all.end(), some.begin(), some.begin() + n);
  }
}

}  // namespace drover
