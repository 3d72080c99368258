#include "ckpt/dump/ask_process.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <csignal>
#include <optional>

#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

namespace drover {

TimerQuestions::TimerQuestions(Batch& batch, const std::vector<PosixTimerEntry>& timers) : timers_(timers) {
  intervals_at_ = batch.space(3 * sizeof(itimerval));
  for (unsigned which = 0; which < 3; ++which)
    batch.must("getitimer", SYS_getitimer, which, intervals_at_ + which * sizeof(itimerval));
  times_at_ = batch.space(timers.size() * sizeof(itimerspec));
  for (std::size_t i = 0; i < timers.size(); ++i) {
    batch.must("timer_gettime", SYS_timer_gettime, timers[i].id, times_at_ + i * sizeof(itimerspec));
    overruns_.push_back(batch.may(SYS_timer_getoverrun, timers[i].id));
  }
}

TimersState TimerQuestions::read(const Batch& batch, pid_t process) const {
  TimersState timers;
  timers.process = process;
  const auto intervals = batch.loaded<std::array<itimerval, 3>>(intervals_at_);
  for (std::size_t i = 0; i < 3; ++i) {
    const itimerval& timer = intervals[i];
    timers.interval_timers[i] = {timer.it_value.tv_sec * 1'000'000 + timer.it_value.tv_usec,
                                 timer.it_interval.tv_sec * 1'000'000 + timer.it_interval.tv_usec};
  }
  for (std::size_t i = 0; i < timers_.size(); ++i) {
    const auto time = batch.loaded<itimerspec>(times_at_ + i * sizeof(itimerspec));
    const PosixTimerEntry& entry = timers_[i];
    timers.posix_timers.push_back({entry.id, entry.clock_id, entry.signal, entry.notify, entry.target, entry.value,
                                   time.it_value.tv_sec * 1'000'000'000 + time.it_value.tv_nsec,
                                   time.it_interval.tv_sec * 1'000'000'000 + time.it_interval.tv_nsec,
                                   static_cast<std::int32_t>(batch.result(overruns_[i]))});
  }
  return timers;
}

namespace {

// struct kernel_sigaction of x86-64; glibc's differs.
struct KernelAction {
  std::uint64_t handler, flags, restorer, mask;
};

class ActionQuestions {
 public:
  ActionQuestions(Batch& batch, const TaskStatus& status) {
    for (int signal = 1; signal <= 64; ++signal) {
      // SIGCHLD's flags (SA_NOCLDWAIT, SA_NOCLDSTOP) count even with the default action.
      const bool changed = ((status.caught | status.ignored) >> (signal - 1) & 1) != 0 || signal == SIGCHLD;
      if (!changed) continue;
      const auto where = batch.space(sizeof(KernelAction));
      batch.must("rt_sigaction", SYS_rt_sigaction, signal, 0, where, 8);
      asked_.emplace_back(signal, where);
    }
  }

  std::vector<SignalAction> read(const Batch& batch) const {
    std::vector<SignalAction> actions;
    for (const auto& [signal, where] : asked_) {
      const auto action = batch.loaded<KernelAction>(where);
      actions.push_back({signal, action.handler, action.flags, action.restorer, action.mask});
    }
    return actions;
  }

 private:
  std::vector<std::pair<int, std::uint64_t>> asked_;
};

}  // namespace

static std::optional<Refusal> find_timer_obstacle(pid_t pid, const std::vector<PosixTimerEntry>& timers) {
  if (timers.size() > 500) return Refusal{fmt::format("process {} has {} timers", pid, timers.size())};
  // CPU-time timers of a single thread or of another process are named by a negative clock id (timer_create(2)).
  for (const auto& timer : timers) {
    if (timer.clock_id < 0) return Refusal{fmt::format("process {} has a timer on another CPU-time clock", pid)};
  }
  return std::nullopt;
}

Or<OwnAnswers> ask_process(const FrozenProcess& process, InjectedArea& injected) {
  OwnAnswers answers;
  answers.posix_timers = parse_posix_timers(try_read_text(proc_path(process.pid, "timers")).value_or(""));
  if (auto refusal = find_timer_obstacle(process.pid, answers.posix_timers)) return *refusal;
  Batch batch = injected.area().main_batch();
  batch.want_data();
  const auto personality = batch.may(SYS_personality, 0xffffffff);
  const auto dumpable = batch.may(SYS_prctl, PR_GET_DUMPABLE);
  const auto subreaper_at = batch.space(sizeof(int));
  batch.may(SYS_prctl, PR_GET_CHILD_SUBREAPER, subreaper_at);
  const auto thp = batch.may(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
  const auto limits_at = batch.space(sizeof answers.limits);
  for (unsigned resource = 0; resource < RLIM_NLIMITS; ++resource)
    batch.must("prlimit64", SYS_prlimit64, 0, resource, 0, limits_at + sizeof(rlimit) * resource);
  const auto brk = batch.may(SYS_brk, 0);
  const ActionQuestions actions(batch, status_of(process, process.threads.front()));
  const TimerQuestions timers(batch, answers.posix_timers);
  injected.leader().run(injected.area(), batch);
  answers.personality = static_cast<std::uint64_t>(batch.result(personality));
  answers.dumpable = static_cast<std::int32_t>(batch.result(dumpable));
  answers.child_subreaper = batch.loaded<int>(subreaper_at) != 0;
  answers.thp_disabled = batch.result(thp) == 1;
  answers.limits = batch.loaded<std::array<rlimit, RLIM_NLIMITS>>(limits_at);
  answers.brk = static_cast<std::uint64_t>(batch.result(brk));
  answers.actions = actions.read(batch);
  answers.timers = timers.read(batch, process.pid);
  return answers;
}

}  // namespace drover
