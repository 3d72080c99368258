#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <csignal>
#include <cstring>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/posix_timers.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

namespace drover {

// struct kernel_sigaction of x86-64; glibc's differs.
struct KernelAction {
  std::uint64_t handler, flags, restorer, mask;
};

static void collect_actions(const FrozenProcess& process, InjectedArea& injected, SignalsState& signals) {
  const TaskStatus& status = status_of(process, process.threads.front());
  Batch batch = injected.area().main_batch();
  std::vector<std::pair<int, std::uint64_t>> asked;
  for (int signal = 1; signal <= 64; ++signal) {
    // SIGCHLD's flags (SA_NOCLDWAIT, SA_NOCLDSTOP) count even with the default action.
    const bool changed = ((status.caught | status.ignored) >> (signal - 1) & 1) != 0 || signal == SIGCHLD;
    if (!changed) continue;
    const auto where = batch.space(sizeof(KernelAction));
    batch.must("rt_sigaction", SYS_rt_sigaction, signal, 0, where, 8);
    asked.emplace_back(signal, where);
  }
  injected.leader().run(injected.area(), batch);
  for (const auto& [signal, where] : asked) {
    const auto action = process.memory.load<KernelAction>(where);
    signals.actions.push_back({signal, action.handler, action.flags, action.restorer, action.mask});
  }
}

static TimersState collect_timers(const FrozenProcess& process, InjectedArea& injected,
                                  const std::vector<PosixTimerEntry>& entries) {
  TimersState timers;
  timers.process = process.pid;
  Batch batch = injected.area().main_batch();
  const auto intervals_at = batch.space(3 * sizeof(itimerval));
  for (unsigned which = 0; which < 3; ++which)
    batch.must("getitimer", SYS_getitimer, which, intervals_at + which * sizeof(itimerval));
  const auto times_at = batch.space(entries.size() * sizeof(itimerspec));
  std::vector<std::size_t> overruns;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    batch.must("timer_gettime", SYS_timer_gettime, entries[i].id, times_at + i * sizeof(itimerspec));
    overruns.push_back(batch.may(SYS_timer_getoverrun, entries[i].id));
  }
  injected.leader().run(injected.area(), batch);
  const auto intervals = process.memory.load<std::array<itimerval, 3>>(intervals_at);
  for (std::size_t i = 0; i < 3; ++i) {
    const itimerval& timer = intervals[i];
    timers.interval_timers[i] = {timer.it_value.tv_sec * 1'000'000 + timer.it_value.tv_usec,
                                 timer.it_interval.tv_sec * 1'000'000 + timer.it_interval.tv_usec};
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto time = process.memory.load<itimerspec>(times_at + i * sizeof(itimerspec));
    const PosixTimerEntry& entry = entries[i];
    timers.posix_timers.push_back({entry.id, entry.clock_id, entry.signal, entry.notify, entry.target, entry.value,
                                   time.it_value.tv_sec * 1'000'000'000 + time.it_value.tv_nsec,
                                   time.it_interval.tv_sec * 1'000'000'000 + time.it_interval.tv_nsec,
                                   static_cast<std::int32_t>(batch.result(overruns[i]))});
  }
  return timers;
}

// A timer that expires while we look would be lost (queue read before) or doubled (timer read before): true if one did.
static bool one_expired(const TimersState& before, const TimersState& after) {
  for (std::size_t i = 0; i < 3; ++i) {
    const auto &b = before.interval_timers[i], &a = after.interval_timers[i];
    if (b.value_us != 0 && (a.value_us == 0 || a.value_us > b.value_us)) return true;
  }
  for (std::size_t i = 0; i < before.posix_timers.size(); ++i) {
    const auto &b = before.posix_timers[i], &a = after.posix_timers[i];
    if (b.value_ns != 0 && (a.value_ns == 0 || a.value_ns > b.value_ns)) return true;
  }
  return false;
}

static std::optional<Refusal> refuse_trap(const FrozenProcess& process, const std::vector<QueuedSignal>& queue) {
  for (const QueuedSignal& queued : queue) {
    int signal = 0;
    std::memcpy(&signal, queued.info.data(), sizeof signal);
    if (signal == SIGTRAP) return Refusal{fmt::format("process {} has a pending SIGTRAP", process.pid)};
  }
  return std::nullopt;
}

// Real time went on between freezing and asking. Taken back, or a restorer would count it twice.
static void as_of_freezing(TimersState& timers, std::int64_t since_freeze_ns) {
  IntervalTimer& real = timers.interval_timers[ITIMER_REAL];
  if (real.value_us != 0) real.value_us += (since_freeze_ns + 999) / 1000;
  for (PosixTimer& timer : timers.posix_timers) {
    const bool cpu_time = timer.clock_id == CLOCK_PROCESS_CPUTIME_ID || timer.clock_id == CLOCK_THREAD_CPUTIME_ID;
    if (timer.value_ns != 0 && !cpu_time) timer.value_ns += since_freeze_ns;
  }
}

Or<SignalsAndTimers> collect_signals_and_timers(const FrozenProcess& process, InjectedArea& injected,
                                                std::int64_t frozen_at_ns) {
  SignalsAndTimers all;
  all.signals.process = process.pid;
  collect_actions(process, injected, all.signals);
  const auto entries = parse_posix_timers(try_read_text(proc_path(process.pid, "timers")).value_or(""));
  if (entries.size() > 500) return Refusal{fmt::format("process {} has {} timers", process.pid, entries.size())};
  // CPU-time timers of a single thread or of another process are named by a negative clock id (timer_create(2)).
  for (const auto& entry : entries) {
    if (entry.clock_id < 0)
      return Refusal{fmt::format("process {} has a timer on another CPU-time clock", process.pid)};
  }
  TimersState before = collect_timers(process, injected, entries);
  for (int attempt = 0;; ++attempt) {
    all.signals.pending = Tracee(process.pid).pending_signals(true);
    all.thread_pending.clear();
    for (const FrozenThread& thread : process.threads)
      all.thread_pending.push_back(Tracee(thread.tid).pending_signals(false));
    TimersState after = collect_timers(process, injected, entries);
    const bool again = attempt < 100 && one_expired(before, after);
    all.timers = before = std::move(after);
    if (!again) break;
  }
  as_of_freezing(all.timers, clock_ns(CLOCK_MONOTONIC) - frozen_at_ns);
  if (auto refusal = refuse_trap(process, all.signals.pending)) return *refusal;
  for (const auto& queue : all.thread_pending) {
    if (auto refusal = refuse_trap(process, queue)) return *refusal;
  }
  return all;
}

}  // namespace drover
