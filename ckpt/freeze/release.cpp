#include "ckpt/freeze/release.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "ckpt/freeze/interrupted_call.h"
#include "ckpt/freeze/remote_memory.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

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
    deadline_ns_ = *release.deadline_ns;
    shorten(std::max<std::int64_t>(0, deadline_ns_ - clock_ns(CLOCK_MONOTONIC)));
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

  pid_t tid() const { return tracee_.tid(); }

  // Empty: the thread has gone on, or ended.
  std::optional<LingeringThreads::Stopped> stop() {
    if (done()) return std::nullopt;
    done_ = true;  // whatever comes: it is not ours any more
    try {
      tracee_.interrupt();
      for (;;) {
        const auto stop = tracee_.wait_for(kStopDeadlineNs);
        if (!stop) throw SystemError("stop thread", fmt::format("{}", tid()), EAGAIN);
        if (stop->exited()) return std::nullopt;
        if (stop->interrupted() || stop->group_stop()) {
          if (!entered_) tracee_.set_registers(original_);
          return LingeringThreads::Stopped{stop->group_stop() ? stop->signal() : 0, deadline_ns_};
        }
        pass_on_towards_stop(*stop);
      }
    } catch (const TraceeGone&) {
      return std::nullopt;
    }
  }

 private:
  static constexpr std::int64_t kStopDeadlineNs = 3'000'000'000;

  // Every stop takes back the pending interrupt (ptrace_stop()).
  void pass_on_towards_stop(const TraceStop& stop) {
    tracee_.interrupt();
    if (stop.at_syscall() && !entered_) {
      entered_ = true;
      return tracee_.resume(PTRACE_SYSCALL);  // through its exit: the call returns at once, interrupted
    }
    if (stop.at_syscall()) {
      put_argument_back();
    } else if (!entered_) {  // a signal came first: the program sees EINTR, and rightly
      entered_ = true;
      tracee_.set_registers(original_);
    }
    tracee_.resume(PTRACE_CONT, stop.at_syscall() || stop.event() != 0 ? 0 : stop.signal());
  }

  void put_argument_back() {
    Registers now = tracee_.registers();
    argument_register(now, timeout_.argument) = argument_register(original_, timeout_.argument);
    tracee_.set_registers(now);
  }

  void shorten(std::int64_t rest_ns) {
    std::uint64_t& argument = argument_register(issued_, timeout_.argument);
    if (timeout_.form == TimeoutForm::Milliseconds) {
      argument = static_cast<std::uint64_t>((rest_ns + 999'999) / 1'000'000);
      return;
    }
    // Below the stack's red zone nothing is the program's (System V ABI, 3.2.2). If there is no memory, the whole
    // timeout stays: late, but never early.
    const timespec rest{rest_ns / 1'000'000'000, rest_ns % 1'000'000'000};
    const std::uint64_t scratch = (original_.rsp - 128 - sizeof rest) & ~std::uint64_t{15};
    if (RemoteMemory(tid()).try_write(scratch, std::as_bytes(std::span(&rest, 1)))) argument = scratch;
  }

  bool handle(const TraceStop& stop) {
    if (stop.exited()) return true;
    if (stop.at_syscall()) {
      if (!entered_) {
        entered_ = true;
        tracee_.resume(PTRACE_SYSCALL);
        return false;
      }
      put_argument_back();
      return tracee_.detach();
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
  std::int64_t deadline_ns_ = 0;
  bool entered_ = false, done_ = false;
};

LingeringThreads::LingeringThreads() = default;
LingeringThreads::LingeringThreads(LingeringThreads&&) noexcept = default;
LingeringThreads& LingeringThreads::operator=(LingeringThreads&&) noexcept = default;
LingeringThreads::~LingeringThreads() {
  try {
    wait();
  } catch (const std::exception&) {  // the kernel lets them go when the tracer ends
  }
}

void LingeringThreads::add(const ThreadRelease& release) { calls_.emplace_back(release); }

void LingeringThreads::append(LingeringThreads&& more) {
  for (auto& call : more.calls_) calls_.push_back(call);
  more.calls_.clear();
  unstopped_.insert(unstopped_.end(), more.unstopped_.begin(), more.unstopped_.end());
  more.unstopped_.clear();
}

// Any first stop: none of it is the program's but a signal, which is delivered.
void LingeringThreads::let_stopped_go() {
  std::erase_if(unstopped_, [](pid_t tid) {
    const auto stop = Tracee(tid).wait_for(0);
    if (stop && !stop->exited()) ::ptrace(PTRACE_DETACH, tid, nullptr, stop->event() == 0 ? stop->signal() : 0);
    return stop.has_value();
  });
}

bool LingeringThreads::take_unstopped(pid_t tid) {
  let_stopped_go();
  return std::erase(unstopped_, tid) != 0;
}

namespace {

// Readable when a child or tracee has changed its state. The signal is blocked meanwhile.
class ChildWatch {
 public:
  ChildWatch() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGCHLD);
    check(::sigprocmask(SIG_BLOCK, &set, &saved_), "sigprocmask");
    fd_.reset(check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
  }
  ~ChildWatch() { ::sigprocmask(SIG_SETMASK, &saved_, nullptr); }
  ChildWatch(const ChildWatch&) = delete;
  ChildWatch& operator=(const ChildWatch&) = delete;
  int fd() const { return fd_.get(); }
  void clear() const {
    signalfd_siginfo info;
    while (::read(fd_.get(), &info, sizeof info) == sizeof info) {
    }
  }

 private:
  sigset_t saved_{};
  UniqueFd fd_;
};

}  // namespace

bool LingeringThreads::wait(int or_readable) {
  if (calls_.empty()) return true;
  const ChildWatch children;
  for (;;) {
    children.clear();  // before looking: what happens afterwards is told again
    std::erase_if(calls_, [](LingeringCall& call) { return call.done(); });
    let_stopped_go();
    if (calls_.empty()) return true;
    pollfd fds[] = {{children.fd(), POLLIN, 0}, {or_readable, POLLIN, 0}};
    if (::poll(fds, 2, -1) > 0 && fds[1].revents != 0) return false;
  }
}

std::optional<LingeringThreads::Stopped> LingeringThreads::stop(pid_t tid) {
  const auto call = std::find_if(calls_.begin(), calls_.end(), [tid](const auto& c) { return c.tid() == tid; });
  if (call == calls_.end()) return std::nullopt;
  LingeringCall found = *call;
  calls_.erase(call);
  return found.stop();
}

// Killed by somebody of the tree who ran already. Threads before their leader, which is no zombie while they are there.
// A child of our own is left to whoever waits for it.
static void see_off(std::span<const pid_t> dying) {
  constexpr std::int64_t kDeadlineNs = 3'000'000'000;
  for (auto tid = dying.rbegin(); tid != dying.rend(); ++tid) {
    const auto stat = try_read_text(proc_path(*tid, "stat"));
    if (!stat || parse_task_stat(*stat).parent == ::getpid()) continue;
    for (auto stop = Tracee(*tid).wait_for(kDeadlineNs); stop && !stop->exited();)
      stop = Tracee(*tid).wait_for(kDeadlineNs);
  }
}

LingeringThreads release_threads(std::span<const ThreadRelease> releases) {
  LingeringThreads lingering;
  std::vector<pid_t> dying;
  for (const ThreadRelease& release : releases) {
    try {
      if (release.deadline_ns && static_cast<std::int64_t>(release.registers.rax) == -EINTR) {
        lingering.add(release);
        continue;
      }
      if (release.deadline_ns)
        write_rest(RemoteMemory(release.tid), release.registers, *release.deadline_ns - clock_ns(CLOCK_MONOTONIC));
      Tracee tracee(release.tid);
      tracee.set_registers(release.registers);
      if (!tracee.detach()) dying.push_back(release.tid);
    } catch (const TraceeGone&) {
      dying.push_back(release.tid);
    }
  }
  see_off(dying);
  return lingering;
}

}  // namespace drover
