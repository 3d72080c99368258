#include <fmt/format.h>
#include <sys/time.h>
#include <time.h>

#include <csignal>
#include <cstring>
#include <utility>

#include "ckpt/dump/collect.h"

namespace drover {

static TimersState ask_timers(const FrozenProcess& process, InjectedArea& injected,
                              const std::vector<PosixTimerEntry>& timers) {
  Batch batch = injected.area().main_batch();
  batch.want_data();
  const TimerQuestions questions(batch, timers);
  injected.leader().run(injected.area(), batch);
  return questions.read(batch, process.pid);
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
                                                OwnAnswers& answers, std::int64_t frozen_at_ns) {
  SignalsAndTimers all;
  all.signals.process = process.pid;
  all.signals.actions = std::move(answers.actions);
  TimersState before = std::move(answers.timers);
  for (int attempt = 0;; ++attempt) {
    all.signals.pending = Tracee(process.threads.front().tid).pending_signals(true);
    all.thread_pending.clear();
    for (const FrozenThread& thread : process.threads)
      all.thread_pending.push_back(Tracee(thread.tid).pending_signals(false));
    TimersState after = ask_timers(process, injected, answers.posix_timers);
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
