// Timers: created with their old ids while the process is held, armed when it is let go.
#include <fmt/format.h>
#include <linux/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <algorithm>
#include <csignal>
#include <set>

#include "ckpt/restore/held_process.h"
#include "ckpt/restore/timerfd_progress.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/uapi.h"

namespace drover {

static sigevent event_of(const PosixTimer& timer) {
  sigevent event{};
  event.sigev_signo = timer.signal;
  event.sigev_notify = timer.notify;
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(timer.value);
  if (timer.notify == SIGEV_THREAD_ID) event._sigev_un._tid = timer.target;
  return event;
}

// Before Linux 6.15 ids are given in ascending order: make timers and throw them away until it is the right one's turn.
static void create_in_order(HeldProcess& held, const PosixTimer& timer) {
  for (int attempt = 0; attempt < 100'000; ++attempt) {
    Batch batch = held.batch();
    const sigevent event = event_of(timer);
    const std::uint64_t id_at = batch.space(sizeof(int));
    batch.must("timer_create", SYS_timer_create, timer.clock_id, batch.push_value(event), id_at);
    held.run(batch);
    const int id = held.memory.load<int>(id_at);
    if (id == timer.id) return;
    batch.clear();
    batch.must("timer_delete", SYS_timer_delete, id);
    held.run(batch);
    if (id > timer.id) break;
  }
  throw SystemError("make timer", std::to_string(timer.id), EBUSY);
}

static void create_with_ids(HeldProcess& held, const std::vector<PosixTimer>& timers) {
  Batch batch = held.batch();
  batch.must("PR_TIMER_CREATE_RESTORE_IDS", SYS_prctl, uapi::kTimerCreateRestoreIds, 1, 0, 0, 0);
  for (const PosixTimer& timer : timers) {
    held.make_room(batch, 1024);
    batch.must(fmt::format("timer_create {}", timer.id), SYS_timer_create, timer.clock_id,
               batch.push_value(event_of(timer)), batch.push_value(timer.id));
  }
  held.make_room(batch, 1024);
  batch.must("PR_TIMER_CREATE_RESTORE_IDS", SYS_prctl, uapi::kTimerCreateRestoreIds, 0, 0, 0, 0);
  held.run(batch);
}

void create_timers(HeldProcess& held) {
  const auto& timers = held.image.timers.posix_timers;
  if (timers.empty()) return;
  if (kernel_features().timer_restore_ids) return create_with_ids(held, timers);
  // /proc/PID/timers begins with the youngest.
  auto ascending = timers;
  std::sort(ascending.begin(), ascending.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (const PosixTimer& timer : ascending) create_in_order(held, timer);
}

// What is left after `passed`; at least one unit, since 0 would disarm the timer.
static std::int64_t rest(std::int64_t value, std::int64_t passed) {
  return value == 0 ? 0 : std::max<std::int64_t>(1, value - passed);
}

// Clocks of CPU time stand still while the process is frozen.
static bool is_cpu_clock(int clock) { return clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID; }

static itimerspec to_itimerspec(std::int64_t value_ns, std::int64_t interval_ns) {
  return {{interval_ns / 1'000'000'000, interval_ns % 1'000'000'000},
          {value_ns / 1'000'000'000, value_ns % 1'000'000'000}};
}

// Setting a timer makes its count 0, so the expirations that were not read yet, and those that the program has slept
// through, are counted here and put back after it: TFD_IOC_SET_TICKS (Linux 3.17, CONFIG_CHECKPOINT_RESTORE).
static void arm_timerfds(HeldProcess& held, const OpenFilesState& files, std::set<std::uint32_t>& armed, Batch& batch,
                         std::int64_t passed_ns) {
  constexpr unsigned long kSetTicks = _IOW('T', 0, std::uint64_t);
  constexpr std::int64_t kBetweenCalls_ns = 100'000;  // an expiration between the two calls would be overwritten
  for (const DescriptorState& d : held.image.files.descriptors) {
    const OpenFileState& file = files.files[d.open_file];
    if (file.kind != FileKind::TimerFd || !armed.insert(d.open_file).second) continue;
    held.make_room(batch, 1024);
    TimerfdProgress now = timerfd_after({file.value_ns, file.counter}, file.interval_ns, passed_ns);
    if (now.value_ns != 0) now.value_ns = std::max(now.value_ns, kBetweenCalls_ns);
    const itimerspec wanted = to_itimerspec(now.value_ns, file.interval_ns);
    batch.must("timerfd_settime", SYS_timerfd_settime, d.fd, 0, batch.push_value(wanted), 0);
    if (now.ticks != 0) batch.must("TFD_IOC_SET_TICKS", SYS_ioctl, d.fd, kSetTicks, batch.push_value(now.ticks));
  }
}

void arm_timers(HeldProcess& held, const OpenFilesState& files, std::set<std::uint32_t>& armed,
                std::int64_t passed_ns) {
  Batch batch = held.batch();
  for (unsigned which = 0; which < 3; ++which) {
    const IntervalTimer& timer = held.image.timers.interval_timers[which];
    if (timer.value_us == 0) continue;
    const std::int64_t value = rest(timer.value_us, which == ITIMER_REAL ? passed_ns / 1000 : 0);
    const itimerval wanted{{timer.interval_us / 1'000'000, timer.interval_us % 1'000'000},
                           {value / 1'000'000, value % 1'000'000}};
    batch.must("setitimer", SYS_setitimer, which, batch.push_value(wanted), 0);
  }
  for (const PosixTimer& timer : held.image.timers.posix_timers) {
    held.make_room(batch, 1024);
    if (timer.value_ns == 0) continue;
    const std::int64_t value = rest(timer.value_ns, is_cpu_clock(timer.clock_id) ? 0 : passed_ns);
    if (arm_with_overrun(held, timer, value)) continue;
    const itimerspec wanted = to_itimerspec(value, timer.interval_ns);
    batch.must("timer_settime", SYS_timer_settime, timer.id, 0, batch.push_value(wanted), 0);
  }
  arm_timerfds(held, files, armed, batch, passed_ns);
  held.run(batch);
}

}  // namespace drover
