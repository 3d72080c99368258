#include "ckpt/freeze/release.h"

#include <sys/ptrace.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "ckpt/freeze/interrupted_call.h"
#include "ckpt/freeze/remote_memory.h"
#include "ckpt/sys/clocks.h"

namespace drover {

// A thread whose call was issued again with a shorter timeout.
class LingeringCall {
 public:
  explicit LingeringCall(const ThreadRelease& release)
      : tracee_(release.tid), original_(release.registers), issued_(release.registers) {
    timeout_ = *eintr_call(static_cast<long>(original_.orig_rax));
    issued_.rax = original_.orig_rax;
    issued_.rip -= 2;
    issued_.orig_rax = ~0ULL;
    shorten(release.process, std::max<std::int64_t>(0, *release.eintr_deadline_ns - clock_ns(CLOCK_MONOTONIC)));
    tracee_.set_registers(issued_);
    tracee_.set_options(PTRACE_O_TRACESYSGOOD);  // not EXITKILL any more: the program is its own again
    tracee_.resume(PTRACE_SYSCALL);
  }

  // False while the call sleeps.
  bool done() {
    if (done_) return true;
    try {
      if (const auto stop = tracee_.wait_for(0)) done_ = handle(*stop);
    } catch (const TraceeGone&) {
      done_ = true;
    }
    return done_;
  }

 private:
  void shorten(pid_t process, std::int64_t rest_ns) {
    std::uint64_t& argument = argument_register(issued_, timeout_.argument);
    if (timeout_.form == TimeoutForm::Milliseconds) {
      argument = static_cast<std::uint64_t>((rest_ns + 999'999) / 1'000'000);
      return;
    }
    // Below the stack's red zone nothing is the program's (System V ABI, 3.2.2). If there is no memory, the whole
    // timeout stays: late, but never early.
    const timespec rest{rest_ns / 1'000'000'000, rest_ns % 1'000'000'000};
    const std::uint64_t scratch = (original_.rsp - 128 - sizeof rest) & ~std::uint64_t{15};
    if (RemoteMemory(process).try_write(scratch, std::as_bytes(std::span(&rest, 1)))) argument = scratch;
  }

  bool handle(const TraceStop& stop) {
    if (stop.exited()) return true;
    if (stop.at_syscall()) {
      if (!entered_) {
        entered_ = true;
        tracee_.resume(PTRACE_SYSCALL);
        return false;
      }
      Registers now = tracee_.registers();
      argument_register(now, timeout_.argument) = argument_register(original_, timeout_.argument);
      tracee_.set_registers(now);
      tracee_.detach();
      return true;
    }
    if (stop.group_stop()) {
      tracee_.resume(PTRACE_LISTEN);
    } else if (stop.event() == 0 && !entered_) {  // a signal came first: the program sees EINTR, and rightly
      tracee_.set_registers(original_);
      ::ptrace(PTRACE_DETACH, tracee_.tid(), nullptr, stop.signal());
      return true;
    } else {
      tracee_.resume(PTRACE_SYSCALL, stop.event() == 0 ? stop.signal() : 0);
    }
    return false;
  }

  Tracee tracee_;
  Registers original_, issued_;
  TimeoutArgument timeout_;
  bool entered_ = false, done_ = false;
};

LingeringThreads::LingeringThreads() = default;
LingeringThreads::LingeringThreads(LingeringThreads&&) noexcept = default;
LingeringThreads& LingeringThreads::operator=(LingeringThreads&&) noexcept = default;
LingeringThreads::~LingeringThreads() { wait(); }

void LingeringThreads::add(const ThreadRelease& release) { calls_.emplace_back(release); }

void LingeringThreads::append(LingeringThreads&& more) {
  for (auto& call : more.calls_) calls_.push_back(call);
  more.calls_.clear();
}

void LingeringThreads::wait() {
  while (std::any_of(calls_.begin(), calls_.end(), [](LingeringCall& call) { return !call.done(); })) {
    const timespec pause{0, 500'000};
    ::nanosleep(&pause, nullptr);
    for (auto& call : calls_) call.done();
  }
  calls_.clear();
}

LingeringThreads release_threads(std::span<const ThreadRelease> releases) {
  LingeringThreads lingering;
  for (const ThreadRelease& release : releases) {
    try {
      if (release.eintr_deadline_ns) {
        lingering.add(release);
        continue;
      }
      Tracee tracee(release.tid);
      tracee.set_registers(release.registers);
      tracee.detach();
    } catch (const TraceeGone&) {
    }
  }
  return lingering;
}

}  // namespace drover
