#include "ckpt/freeze/last_run.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/freeze/interrupted_call.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"

namespace drover {

// "2243593.620472" in milliseconds with six digits after the point
static std::int64_t parse_ms(std::string_view word) {
  const auto point = word.find('.');
  const auto whole = to_signed(word.substr(0, point)).value_or(0);
  const auto rest = point == std::string_view::npos ? 0 : to_signed(word.substr(point + 1)).value_or(0);
  return whole * 1'000'000 + rest;
}

std::optional<SchedDetail> parse_sched(std::string_view text) {
  SchedDetail detail;
  bool found = false;
  for (std::string_view line; next_line(text, line);) {
    const auto key = next_word(line);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view rest = line.substr(colon + 1);
    if (key == "se.exec_start") detail.exec_start_ns = parse_ms(next_word(rest)), found = true;
    if (key == "nr_switches") detail.switches = to_number(next_word(rest)).value_or(0);
  }
  return found ? std::optional(detail) : std::nullopt;
}

static std::optional<SchedDetail> read_sched(pid_t process, pid_t tid) {
  const auto text = try_read_text(fmt::format("/proc/{}/task/{}/sched", process, tid));
  return text ? parse_sched(*text) : std::nullopt;
}

// The number in /proc/PID/task/TID/syscall; empty if the thread runs. (proc_pid_syscall(5), CONFIG_HAVE_ARCH_TRACEHOOK)
static std::optional<long> current_call(pid_t process, pid_t tid) {
  const auto text = try_read_text(fmt::format("/proc/{}/task/{}/syscall", process, tid));
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  const auto number = to_signed(next_word(rest));
  return number ? std::optional(static_cast<long>(*number)) : std::nullopt;
}

std::optional<LastRun> observe_sleeper(pid_t process, pid_t tid) {
  const auto call = current_call(process, tid);
  if (!call) return std::nullopt;
  const auto eintr = eintr_call(*call);
  const bool timed = (eintr && eintr->form != TimeoutForm::None) || *call == SYS_nanosleep ||
                     *call == SYS_clock_nanosleep || *call == SYS_poll || *call == SYS_futex ||
                     *call == SYS_restart_syscall;
  if (!timed) return std::nullopt;
  const auto sched = read_sched(process, tid);
  const auto stat = try_read_text(fmt::format("/proc/{}/task/{}/stat", process, tid));
  if (!sched || !stat) return std::nullopt;
  LastRun last{process, tid, parse_task_stat(*stat).processor, *sched, {}};
  if (*call == SYS_restart_syscall)
    last.wait_channel = try_read_text(fmt::format("/proc/{}/task/{}/wchan", process, tid)).value_or("");
  return last;
}

namespace {
class PinnedToCpu {
 public:
  explicit PinnedToCpu(int cpu) {
    saved_ok_ = ::sched_getaffinity(0, sizeof saved_, &saved_) == 0;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(cpu), &one);
    ok_ = saved_ok_ && ::sched_setaffinity(0, sizeof one, &one) == 0;
  }
  ~PinnedToCpu() {
    if (ok_) ::sched_setaffinity(0, sizeof saved_, &saved_);
  }
  bool ok() const { return ok_; }

 private:
  cpu_set_t saved_{};
  bool saved_ok_ = false, ok_ = false;
};
}  // namespace

std::optional<std::int64_t> LastRun::slept_since_ns() const {
  // Being stopped costs the thread one switch; more mean that it has run in between.
  const auto now = read_sched(process, tid);
  if (!now || now->switches > sched.switches + 1) return std::nullopt;
  const PinnedToCpu pinned(cpu);
  if (!pinned.ok()) return std::nullopt;
  // Our own exec_start is at most "now" and close to it right after a switch: the largest difference is the offset.
  std::optional<std::int64_t> offset;
  for (int i = 0; i < 4; ++i) {
    ::usleep(1);
    const auto own = read_sched(::getpid(), static_cast<pid_t>(::syscall(SYS_gettid)));
    if (!own) return std::nullopt;
    const std::int64_t difference = own->exec_start_ns - clock_ns(CLOCK_MONOTONIC);
    offset = offset ? std::max(*offset, difference) : difference;
  }
  return sched.exec_start_ns - *offset;
}

}  // namespace drover
