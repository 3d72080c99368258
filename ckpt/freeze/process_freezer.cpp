#include "ckpt/freeze/process_freezer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "ckpt/freeze/vfork.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/vdso.h"

namespace drover {

static constexpr std::int64_t kSettleDeadlineNs = 100'000'000;
static constexpr std::int64_t kVforkNs = 2'000'000;  // most children have called execve(2) by then

namespace {

int half_of_the_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 16) / 2);
}

// Stops one process: seizes threads until none is new, since a running thread makes others meanwhile.
class ProcessFreezer {
 public:
  ProcessFreezer(FrozenProcess& process, LingeringThreads& lingering, bool tree_runs)
      : process_(process), lingering_(lingering), tree_runs_(tree_runs) {}

  std::optional<Refusal> freeze() {
    auto refusal = stop_all();
    if (refusal) settle();
    return refusal;
  }

  std::optional<Refusal> stop_again(FrozenThread& thread, std::int64_t patience_ns) {
    return stop(thread, patience_ns);
  }

 private:
  std::optional<Refusal> stop_all() {
    vdso_ = find_vdso(process_.pid);
    for (bool found = true; found;) {
      const std::size_t known = process_.threads.size();
      if (auto refusal = seize_new(found)) return refusal;
      if (vdso_.bytes == 0 && !process_.threads.empty() && process_.threads.front().tid != process_.pid)
        vdso_ = find_vdso(process_.threads.front().tid);  // the main thread is gone
      // The main thread last: of its end is told when all the others have been waited for (delay_group_leader()).
      for (std::size_t i = process_.threads.size(); i-- > known;) {
        if (auto refusal = stop(process_.threads[i])) return refusal;
        some_ended_ |= process_.threads[i].tid == 0;
      }
      std::erase_if(process_.threads, [](const FrozenThread& thread) { return thread.tid == 0; });
    }
    const bool with_leader = !process_.threads.empty() && process_.threads.front().tid == process_.pid;
    if (some_ended_ || !with_leader) reap_killed();
    if (some_ended_ && with_leader) reap_if_killed(process_.threads.front());  // of its end is told last
    std::erase_if(process_.threads, [](const FrozenThread& thread) { return thread.tid == 0; });
    return std::nullopt;
  }

  std::optional<Refusal> stop(FrozenThread& thread, std::int64_t patience_ns = kVforkNs) {
    try {
      auto refusal = wait_until_stopped(thread, patience_ns);
      if (refusal && find_vfork_child(process_.pid, thread.tid) != 0) return std::nullopt;
      if (refusal) refusal = wait_until_stopped(thread);
      if (refusal) return refusal;
      return wait_out_of_vdso(thread);
    } catch (const TraceeGone&) {  // killed while it stood still
      const pid_t tid = std::exchange(thread.tid, 0);
      for (auto stop = wait_for_stop(tid, kStopDeadlineNs); !stop || !stop->exited();) {
        if (!stop) return Refusal{fmt::format("thread {} has been killed, and does not end", tid)};
        stop = wait_for_stop(tid, kStopDeadlineNs);
      }
      return std::nullopt;
    }
  }

  char state_of(pid_t tid) const {
    const auto stat = try_read_text(fmt::format("/proc/{}/task/{}/stat", process_.pid, tid));
    return stat ? parse_task_stat(*stat).state : 'X';
  }

  // exit_group(2) kills those as well that have stopped for us (zap_other_threads()).
  void reap_killed() {
    for (FrozenThread& thread : process_.threads) {
      if (thread.tid != process_.pid) reap_if_killed(thread);
    }
  }

  void reap_if_killed(FrozenThread& thread) {
    if (thread.tid == 0 || !thread.stopped || state_of(thread.tid) == 't') return;
    auto stop = Tracee(thread.tid).wait_for(kStopDeadlineNs);
    while (stop && !stop->exited()) stop = Tracee(thread.tid).wait_for(kStopDeadlineNs);
    if (stop) thread.tid = 0;
  }

  std::optional<TraceStop> wait_for_stop(pid_t tid, std::int64_t deadline_ns) {
    const Tracee tracee(tid);
    if (tid != process_.pid) return tracee.wait_for(deadline_ns);
    constexpr std::int64_t kSliceNs = 5'000'000, kLongestEndNs = 200'000'000;
    std::int64_t ended_ns = 0;
    for (std::int64_t waited_ns = 0; waited_ns < deadline_ns; waited_ns += kSliceNs) {
      if (auto stop = tracee.wait_for(kSliceNs)) return stop;
      reap_killed();
      // By pthread_exit(3) it has ended alone.
      ended_ns = state_of(tid) == 'Z' ? ended_ns + kSliceNs : 0;
      if (ended_ns <= kLongestEndNs) continue;
      process_.ended_traced = true;
      return TraceStop{0};
    }
    return std::nullopt;
  }

  // What has been asked to stop has stopped by now, if it ever does: it must be seen to go on as if nothing had been.
  void settle() {
    for (FrozenThread& thread : process_.threads) {
      try {
        if (thread.tid != 0 && !wait_until_stopped(thread, kSettleDeadlineNs) && thread.tid != 0)
          thread.present = Tracee(thread.tid).registers();
      } catch (const TraceeGone&) {
        thread.tid = 0;
      }
    }
    std::erase_if(process_.threads, [](const FrozenThread& thread) { return thread.tid == 0; });
  }

  // None of a process that has ended since it was found.
  static std::vector<pid_t> threads_of(pid_t pid) {
    try {
      return list_threads(pid);
    } catch (const SystemError& error) {
      if (error.error() != ENOENT && error.error() != ESRCH) throw;
      return {};
    }
  }

  // All are looked at before the first is stopped: that takes longer than to stop them. `found`: were there any? Also
  // if they have ended since: they may have made others.
  std::optional<Refusal> seize_new(bool& found) {
    std::vector<FrozenThread> fresh;
    for (const pid_t tid : threads_of(process_.pid)) {
      const auto same = [tid](const FrozenThread& thread) { return thread.tid == tid; };
      if (tid == process_.pid && std::exchange(leader_seen_, true)) continue;
      if (std::any_of(process_.threads.begin(), process_.threads.end(), same)) continue;
      if (std::find(unreaped_.begin(), unreaped_.end(), tid) != unreaped_.end()) continue;
      FrozenThread& thread = fresh.emplace_back();
      thread.tid = tid;
      thread.before = observe_sleeper(process_.pid, tid);
      open_files(thread);
    }
    found = !fresh.empty();
    if (std::exchange(tree_runs_, false)) give_way();
    // To be seized stops nobody yet. The main thread stands still last, and goes on first (release_threads()): the one
    // that most programs talk to others with.
    std::optional<Refusal> refusal;
    const std::size_t known = process_.threads.size();
    for (auto thread = fresh.begin(); thread != fresh.end() && !refusal; ++thread) refusal = seize(*thread);
    for (std::size_t i = process_.threads.size(); i-- > known;) {
      if (!process_.threads[i].stopped) interrupt(process_.threads[i].tid);
    }
    return refusal;
  }

  static void interrupt(pid_t tid) {
    try {
      Tracee(tid).interrupt();
    } catch (const TraceeGone&) {  // stop() hears how it has ended
    }
  }

  // A thread that waits for our processor has waited for all that we prepared, up to 2 ms, and would be frozen without
  // having run. Sleeping costs us less than sched_yield(2), which gives up a whole time slice (yield_task_fair()), and
  // we compete for the processor while the program stands still.
  static void give_way() {
    constexpr timespec kMoment{0, 50'000};
    ::nanosleep(&kMoment, nullptr);
  }

  void open_files(FrozenThread& thread) const {
    const auto open = [&](const char* name) {
      const auto path = fmt::format("/proc/{}/task/{}/{}", process_.pid, thread.tid, name);
      UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      return file.get() < most_files_ ? std::move(file) : UniqueFd();
    };
    thread.files.children = open("children");
    if (thread.files.children) thread.files.status = open("status");
  }

  std::optional<Refusal> seize(FrozenThread& thread) {
    const pid_t tid = thread.tid;
    if (const auto stopped = lingering_.stop(tid)) {
      thread.stopped = true;
      thread.before.reset();
      thread.stopped_at_ns = clock_ns(CLOCK_MONOTONIC);
      thread.deadline_ns = stopped->deadline_ns;
      if (stopped->group_stopped_by != 0) process_.stopped_by = stopped->group_stopped_by;
      process_.threads.push_back(std::move(thread));
      return std::nullopt;
    }
    if (lingering_.take_unstopped(tid)) {
      process_.threads.push_back(std::move(thread));
      return std::nullopt;
    }
    constexpr int kTries = 3;
    int error = 0;
    for (int left = kTries; (error = Tracee(tid).seize(kFreezeOptions)) != 0; --left) {
      if (error == ESRCH || is_exiting(tid)) {
        some_ended_ = true;
        unreaped_.push_back(tid);
        return std::nullopt;
      }
      // EPERM is also said of one that is traced; a tracer that is gone now had left it in between.
      auto refusal = why_not(tid, error);
      if (refusal.traced != 0 || left == 1) return refusal;
    }
    process_.threads.push_back(std::move(thread));
    return std::nullopt;
  }

  // A thread that has passed its exit can't be seized (EPERM, ptrace_attach()) and needs not be.
  bool is_exiting(pid_t tid) const {
    const char state = state_of(tid);
    return state == 'Z' || state == 'X';
  }

  Refusal why_not(pid_t tid, int error) const {
    const auto status = try_read_text(fmt::format("/proc/{}/task/{}/status", process_.pid, tid));
    if (!status || parse_task_status(*status).tracer == 0)
      return Refusal{fmt::format("thread {} may not be traced: {}", tid, error_text(error))};
    Refusal refusal{fmt::format("process {} is traced by another program", process_.pid)};
    refusal.traced = tid;
    return refusal;
  }

  std::optional<Refusal> wait_until_stopped(FrozenThread& thread, std::int64_t deadline_ns = kStopDeadlineNs) {
    const Tracee tracee(thread.tid);
    while (!thread.stopped) {
      const auto stop = wait_for_stop(thread.tid, deadline_ns);
      if (!stop) return Refusal{fmt::format("thread {} can't be stopped: it sleeps in the kernel", thread.tid)};
      if (stop->exited()) {
        thread.tid = 0;
        return std::nullopt;
      }
      thread.stopped = stop->interrupted() || stop->group_stop();
      if (stop->group_stop()) process_.stopped_by = stop->signal();
      thread.stopped_at_ns = clock_ns(CLOCK_MONOTONIC);
      if (thread.stopped) break;
      // A signal was faster. Any stop takes back the pending interrupt (ptrace_stop()), so ask again, and let it
      // through.
      tracee.interrupt();
      tracee.resume(PTRACE_CONT, stop->event() == 0 ? stop->signal() : 0);
    }
    return std::nullopt;
  }

  // Where a thread goes on there may be another vdso (restore/vdso.cpp). It is in there for a fraction of a microsecond
  // only, or on its way home from a dumper that was killed: it goes on for a moment. Never by single steps: if we died
  // meanwhile the next one would be the program's SIGTRAP.
  std::optional<Refusal> wait_out_of_vdso(FrozenThread& thread) {
    // A thread that asks for the time again and again is in there as often as not: many looks, also on a busy machine.
    constexpr int kLooks = 100;
    constexpr std::int64_t kPatienceNs = 40'000'000, kMostPatienceNs = 1'000'000'000;
    constexpr long kMomentNs = 10'000, kMostMomentNs = 5'000'000;
    timespec moment{0, kMomentNs};
    const Tracee tracee(thread.tid);
    const std::int64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    int looks = 0;
    for (std::uint64_t before = 0; thread.tid != 0; ++looks) {
      thread.present = tracee.registers();
      const std::uint64_t at = thread.present.rip;
      if (process_.stopped_by != 0 || at - vdso_.start >= vdso_.bytes) break;
      const std::int64_t patience_ns = looks < kLooks ? kMostPatienceNs : kPatienceNs;
      if (clock_ns(CLOCK_MONOTONIC) - begin_ns > patience_ns) break;
      // It may have to wait for a processor.
      moment.tv_nsec = at == before ? std::min(moment.tv_nsec * 2, kMostMomentNs) : kMomentNs;
      before = at;
      thread.stopped = false;
      thread.before.reset();  // it has run since
      tracee.resume(PTRACE_CONT);
      ::nanosleep(&moment, nullptr);
      tracee.interrupt();
      if (auto refusal = wait_until_stopped(thread)) return refusal;
    }
    return std::nullopt;
  }

  FrozenProcess& process_;
  LingeringThreads& lingering_;
  bool tree_runs_;
  bool some_ended_ = false;      // of the threads: perhaps by exit_group(2)
  bool leader_seen_ = false;     // it stays in the list when it has ended alone
  std::vector<pid_t> unreaped_;  // so do threads whose other tracer has not heard of their end
  VdsoRange vdso_;
  const int most_files_ = half_of_the_descriptors();
};

}  // namespace

std::optional<Refusal> stop_process(FrozenProcess& process, LingeringThreads& lingering, bool tree_runs) {
  return ProcessFreezer(process, lingering, tree_runs).freeze();
}

std::optional<Refusal> stop_thread(FrozenProcess& process, FrozenThread& thread, LingeringThreads& lingering,
                                   std::int64_t patience_ns) {
  return ProcessFreezer(process, lingering, false).stop_again(thread, patience_ns);
}

}  // namespace drover
