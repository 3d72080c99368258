// How many expirations the last signal of a periodic timer stood for (timer_getoverrun(2)).
//
// Only the kernel counts them: the timer is set to have begun so long ago that as many have passed, which it finds out
// when the signal is taken; its next expiration is then the right one. Any later timer_settime() would forget the
// count.
#include <fmt/format.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"

namespace drover {

static bool is_pending(const std::vector<QueuedSignal>& queue, int signal) {
  return std::any_of(queue.begin(), queue.end(), [signal](const QueuedSignal& queued) {
    int number = 0;
    std::memcpy(&number, queued.info.data(), sizeof number);
    return number == signal;
  });
}

// The thread that the timer signals: whoever takes its signal must be that one.
static std::size_t receiver(const HeldProcess& held, const PosixTimer& timer) {
  const auto& threads = held.image.threads;
  const auto found = std::find_if(threads.begin(), threads.end(),
                                  [&](const ThreadState& thread) { return thread.tid == timer.target; });
  return timer.notify == SIGEV_THREAD_ID && found != threads.end() ? static_cast<std::size_t>(found - threads.begin())
                                                                   : 0;
}

static std::int64_t now_of(HeldProcess& held, int clock) {
  Batch batch = held.batch();
  const std::uint64_t at = batch.space(sizeof(timespec));
  batch.must("clock_gettime", SYS_clock_gettime, clock, at);
  held.run(batch);
  const auto now = held.memory.load<timespec>(at);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

bool arm_with_overrun(HeldProcess& held, const PosixTimer& timer, std::int64_t rest_ns) {
  const bool cpu_time = timer.clock_id == CLOCK_PROCESS_CPUTIME_ID || timer.clock_id == CLOCK_THREAD_CPUTIME_ID;
  const std::size_t index = receiver(held, timer);
  const auto& own = held.image.threads[index].pending;
  if (timer.overrun <= 0 || timer.interval_ns == 0 || timer.notify == SIGEV_NONE || cpu_time ||
      is_pending(held.image.signals.pending, timer.signal) || is_pending(own, timer.signal))
    return false;
  const std::int64_t begin_ns =
      now_of(held, timer.clock_id) + rest_ns - (std::int64_t{timer.overrun} + 1) * timer.interval_ns;
  if (begin_ns <= 0) return false;  // before the clock's own beginning
  const itimerspec wanted{{timer.interval_ns / 1'000'000'000, timer.interval_ns % 1'000'000'000},
                          {begin_ns / 1'000'000'000, begin_ns % 1'000'000'000}};
  Batch batch = index == 0 ? held.batch() : held.area.batch(index);
  batch.must("timer_settime", SYS_timer_settime, timer.id, TIMER_ABSTIME, batch.push_value(wanted), 0);
  const std::uint64_t set = batch.push_value(std::uint64_t{1} << (timer.signal - 1));
  const std::uint64_t info_at = batch.space(sizeof(siginfo_t));
  const auto taken = batch.may(SYS_rt_sigtimedwait, set, info_at, batch.push_value(timespec{1, 0}), 8);
  held.threads[index]->run(held.area, batch);
  if (batch.result(taken) != timer.signal) return true;
  const auto info = held.memory.load<siginfo_t>(info_at);
  if (info.si_overrun <= timer.overrun) return true;
  // It has expired meanwhile: that is the program's to see.
  batch.clear();
  batch.must("rt_sigqueueinfo", SYS_rt_tgsigqueueinfo, held.pid, held.image.threads[index].tid, timer.signal,
             batch.push_value(info));
  held.threads[index]->run(held.area, batch);
  return true;
}

}  // namespace drover
