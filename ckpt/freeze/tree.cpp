#include "ckpt/freeze/tree.h"

#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "ckpt/freeze/release.h"
#include "ckpt/freeze/restartable_sequences.h"
#include "ckpt/freeze/tree_impl.h"
#include "ckpt/sys/cpu.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/vdso.h"

namespace drover {

// A thread that can run stops within microseconds; one in uninterruptible sleep (a dead NFS server, a vfork parent)
// never.
static constexpr std::int64_t kStopDeadlineNs = 3'000'000'000, kSettleDeadlineNs = 100'000'000;
static_assert(kFreezeOptions == PTRACE_O_TRACESYSGOOD);

namespace {

// Stops one process: seizes threads until none is new, since a running thread makes others meanwhile.
class ProcessFreezer {
 public:
  ProcessFreezer(FrozenProcess& process, LingeringThreads& lingering) : process_(process), lingering_(lingering) {}

  std::optional<Refusal> freeze() {
    auto refusal = stop_all();
    if (refusal) settle();
    return refusal;
  }

 private:
  std::optional<Refusal> stop_all() {
    vdso_ = find_vdso(process_.pid);
    for (;;) {
      const std::size_t known = process_.threads.size();
      if (auto refusal = seize_new()) return refusal;
      for (std::size_t i = known; i < process_.threads.size(); ++i) {
        if (auto refusal = wait_until_stopped(process_.threads[i])) return refusal;
        if (auto refusal = wait_out_of_vdso(process_.threads[i])) return refusal;
      }
      std::erase_if(process_.threads, [](const FrozenThread& thread) { return thread.tid == 0; });
      if (process_.threads.size() <= known) break;
    }
    if (!process_.threads.empty() && process_.threads.front().tid != process_.pid)
      return Refusal{fmt::format("the main thread of process {} has exited", process_.pid)};
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

  // All are looked at before the first is stopped: that takes longer than to stop them.
  std::optional<Refusal> seize_new() {
    std::vector<FrozenThread> fresh;
    for (const pid_t tid : list_threads(process_.pid)) {
      const auto same = [tid](const FrozenThread& thread) { return thread.tid == tid; };
      if (std::any_of(process_.threads.begin(), process_.threads.end(), same)) continue;
      FrozenThread& thread = fresh.emplace_back();
      thread.tid = tid;
      thread.before = observe_sleeper(process_.pid, tid);
    }
    for (FrozenThread& thread : fresh) {
      if (auto refusal = seize(thread)) return refusal;
    }
    return std::nullopt;
  }

  std::optional<Refusal> seize(FrozenThread& thread) {
    const pid_t tid = thread.tid;
    if (const auto stopped = lingering_.stop(tid)) {
      thread.stopped = true;
      thread.before.reset();
      thread.stopped_at_ns = clock_ns(CLOCK_MONOTONIC);
      thread.deadline_ns = stopped->deadline_ns;
      if (stopped->group_stopped_by != 0) process_.stopped_by = stopped->group_stopped_by;
      process_.threads.push_back(thread);
      return std::nullopt;
    }
    const int error = Tracee(tid).seize(kFreezeOptions);
    if (error == ESRCH || (error != 0 && is_exiting(tid))) return std::nullopt;
    if (error != 0) return Refusal{why_not(tid, error)};
    process_.threads.push_back(thread);
    Tracee(tid).interrupt();
    return std::nullopt;
  }

  // A thread that has passed its exit can't be seized (EPERM, ptrace_attach()) and needs not be.
  bool is_exiting(pid_t tid) const {
    const auto stat = try_read_text(fmt::format("/proc/{}/task/{}/stat", process_.pid, tid));
    if (!stat) return true;
    const char state = parse_task_stat(*stat).state;
    return state == 'Z' || state == 'X';
  }

  std::string why_not(pid_t tid, int error) const {
    const auto status = try_read_text(proc_path(process_.pid, "status"));
    if (status && parse_task_status(*status).tracer != 0)
      return fmt::format("process {} is traced by another program", process_.pid);
    return fmt::format("thread {} may not be traced: {}", tid, error_text(error));
  }

  // A parent in vfork(2) sleeps where only SIGKILL wakes it (wait_for_vfork_done()), so it never comes to a ptrace
  // stop, and its registers can't be read.
  std::string why_not_stopped(pid_t tid) const {
    for (const pid_t child : list_children(process_.pid)) {
      if (::syscall(SYS_kcmp, process_.pid, child, KCMP_VM, 0, 0) == 0)
        return fmt::format("process {} waits in vfork() for process {}, which has neither called execve() nor ended",
                           process_.pid, child);
    }
    return fmt::format("thread {} can't be stopped: it sleeps in the kernel", tid);
  }

  std::optional<Refusal> wait_until_stopped(FrozenThread& thread, std::int64_t deadline_ns = kStopDeadlineNs) {
    const Tracee tracee(thread.tid);
    while (!thread.stopped) {
      const auto stop = tracee.wait_for(deadline_ns);
      if (!stop) return Refusal{why_not_stopped(thread.tid)};
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
  VdsoRange vdso_;
};

}  // namespace

static void put(FrozenThread& thread, const Registers& registers) {
  Tracee(thread.tid).set_registers(registers);
  thread.present = registers;
}

const TaskStatus& status_of(const FrozenProcess& process, const FrozenThread& thread) {
  if (!thread.status)
    thread.status = parse_task_status(read_record(fmt::format("/proc/{}/task/{}/status", process.pid, thread.tid)));
  return *thread.status;
}

// Would the thread run a handler of its own, or stop, if it went on now? Then an EINTR is the program's.
static bool signal_about_to_be_delivered(const FrozenProcess& process, pid_t tid) {
  if (process.stopped_by != 0) return true;
  const auto text = try_read_text(fmt::format("/proc/{}/task/{}/status", process.pid, tid));
  if (!text) return true;
  const TaskStatus status = parse_task_status(*text);
  constexpr std::uint64_t kStopSignals = std::uint64_t{0xf} << (SIGSTOP - 2);  // CONT, STOP, TSTP, TTIN
  return ((status.pending | status.shared_pending) & ~status.blocked & (status.caught | kStopSignals)) != 0;
}

// What was known of the thread's wait when it was let go last, on the caller's clock.
static BeforeStop recall(const FrozenProcess& process, const FrozenThread& thread, const FrozenTree::Impl& tree) {
  BeforeStop before{thread.stopped_at_ns, thread.before, thread.deadline_ns, std::nullopt};
  for (KnownWait known : tree.still.known) {
    if (known.process != process.pid || known.tid != thread.tid) continue;
    const std::int64_t shift_ns = tree.frozen_at_own_ns - tree.frozen_at.monotonic_ns;
    known.deadline_ns += shift_ns;
    known.released_ns += shift_ns;
    before.known = known;
    break;
  }
  return before;
}

static void examine_threads(FrozenProcess& process, const FrozenTree::Impl& tree) {
  leave_restartable_sequences(process);
  for (FrozenThread& thread : process.threads) {
    if (!thread.stopped) continue;  // one that has made us give up
    thread.registers = thread.present;
    const bool eintr = static_cast<std::int64_t>(thread.registers.rax) == -EINTR;
    auto call =
        examine_call(process.memory, thread.registers, eintr && signal_about_to_be_delivered(process, thread.tid),
                     recall(process, thread, tree), tree.frozen_at_own_ns);
    thread.registers = call.registers;
    thread.wait = call.wait;
    thread.examined = true;
    // At once, so that a call turned into EINTR is undone even if we die. A timed one is then issued with its whole
    // time: its rest needs us (release.h).
    if (!thread.wait || static_cast<std::int64_t>(thread.registers.rax) != -EINTR) {
      const bool changed = std::memcmp(&thread.present, &thread.registers, sizeof thread.present) != 0;
      if (!thread.wait && changed) put(thread, thread.registers);
      continue;
    }
    Registers again = thread.registers;
    again.rax = again.orig_rax;
    again.orig_rax = ~0ULL;
    again.rip -= 2;
    put(thread, again);
  }
}

// Parents before children: a parent in vfork() can't stop before its child has gone on to execve() or its end.
static std::optional<Refusal> stop_one(pid_t pid, FrozenTree::Impl& tree) {
  FrozenProcess& process = tree.processes.emplace_back(pid);
  auto refusal = ProcessFreezer(process, tree.still.lingering).freeze();
  if (refusal || !process.threads.empty()) return refusal;
  tree.processes.pop_back();
  if (const auto stat = try_read_text(proc_path(pid, "stat")); stat && parse_task_stat(*stat).state == 'Z')
    tree.zombies.push_back(pid);
  return std::nullopt;
}

static bool is_known(pid_t pid, const FrozenTree::Impl& tree) {
  return std::find(tree.zombies.begin(), tree.zombies.end(), pid) != tree.zombies.end() ||
         std::any_of(tree.processes.begin(), tree.processes.end(),
                     [pid](const FrozenProcess& p) { return p.pid == pid; });
}

// A stopped process makes no more children, but a subreaper and `reaper` get some while others still end: so a tree of
// several is looked through again until nobody is new.
static std::optional<Refusal> stop_processes(pid_t root, pid_t reaper, FrozenTree::Impl& tree) {
  if (::access(proc_path(root, "task").c_str(), F_OK) == 0) {
    if (auto refusal = stop_one(root, tree)) return refusal;
  }
  if (tree.processes.empty()) return Refusal{fmt::format("there is no process {}", root)};
  for (bool found = true; found;) {
    found = false;
    for (const pid_t pid : list_tree(root, reaper)) {
      if (is_known(pid, tree) || ::access(proc_path(pid, "task").c_str(), F_OK) != 0) continue;
      found = true;
      if (auto refusal = stop_one(pid, tree)) return refusal;
    }
  }
  // One that the reaper has taken in is about to vanish.
  std::erase_if(tree.zombies, [&tree](pid_t pid) {
    const auto stat = try_read_text(proc_path(pid, "stat"));
    const pid_t parent = stat ? parse_task_stat(*stat).parent : 0;
    return std::none_of(tree.processes.begin(), tree.processes.end(),
                        [parent](const FrozenProcess& p) { return p.pid == parent; });
  });
  return std::nullopt;
}

std::variant<FrozenTree, Refusal> FrozenTree::freeze(pid_t root, StillWaiting* still, pid_t reaper) {
  // What is asked once and remembered is asked now, while the program still runs. The clocks: before anybody unshares.
  read_host_clocks();
  kernel_features();
  cpu_features();
  FrozenTree tree(std::make_unique<Impl>());
  Impl& impl = *tree.impl_;
  if (still != nullptr) impl.still = std::move(*still);
  auto refusal = stop_processes(root, reaper, impl);
  impl.frozen_at = read_host_clocks();
  impl.frozen_at_own_ns = clock_ns(CLOCK_MONOTONIC);
  // Also if we give up: what the stop has interrupted must not be seen.
  try {
    for (auto& process : impl.processes) examine_threads(process, impl);
  } catch (const SystemError& error) {
    if (!refusal) refusal = Refusal{error.what()};
  }
  if (!refusal) return tree;
  StillWaiting again = tree.thaw();
  if (still == nullptr) return *refusal;
  again.lingering.append(std::move(impl.still.lingering));
  again.known.insert(again.known.end(), impl.still.known.begin(), impl.still.known.end());
  *still = std::move(again);
  return *refusal;
}

FrozenTree::FrozenTree(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FrozenTree::FrozenTree(FrozenTree&&) noexcept = default;
FrozenTree& FrozenTree::operator=(FrozenTree&& other) noexcept {
  FrozenTree old(std::move(*this));
  impl_ = std::move(other.impl_);
  return *this;
}

FrozenTree::~FrozenTree() {
  if (!impl_ || impl_->released) return;
  try {
    const StillWaiting still = thaw();
  } catch (const std::exception&) {  // what can't be thawed is let go by the kernel when the tracer ends
  }
}

pid_t FrozenTree::root() const { return impl_->processes.front().pid; }

void FrozenTree::die_with_tracer() {
  for (const auto& process : impl_->processes) {
    for (const auto& thread : process.threads) Tracee(thread.tid).set_options(kFreezeOptions | PTRACE_O_EXITKILL);
  }
}

// A thread that could not be stopped or examined: nothing of it has changed, but if it lingered it must go on doing so.
static void release_unexamined(const FrozenProcess& process, const FrozenThread& thread,
                               std::vector<ThreadRelease>& releases) {
  const Tracee tracee(thread.tid);
  if (!thread.deadline_ns) {
    tracee.detach();
    return;
  }
  auto& release = releases.emplace_back(ThreadRelease{process.pid, thread.tid, tracee.registers(), std::nullopt});
  if (static_cast<std::int64_t>(release.registers.rax) == -EINTR) release.deadline_ns = thread.deadline_ns;
}

StillWaiting FrozenTree::thaw() {
  impl_->released = true;
  StillWaiting still;
  std::vector<ThreadRelease> releases;
  const std::int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  const std::int64_t to_host_ns = impl_->frozen_at.monotonic_ns - impl_->frozen_at_own_ns;
  for (const auto& process : impl_->processes) {
    for (const auto& thread : process.threads) {
      if (!thread.examined) {
        release_unexamined(process, thread, releases);
        continue;
      }
      auto& release = releases.emplace_back(ThreadRelease{process.pid, thread.tid, thread.registers, std::nullopt});
      if (!thread.wait) continue;
      const std::int64_t deadline_ns = impl_->frozen_at_own_ns + thread.wait->remaining_ns;
      // A restart block goes on by itself; the others are issued again with the rest of their time.
      if (static_cast<std::int64_t>(thread.registers.rax) != kRestartBlock)
        release.deadline_ns = deadline_ns;
      else
        still.known.push_back(known_wait(release, *thread.wait, deadline_ns + to_host_ns, now_ns + to_host_ns));
    }
  }
  still.lingering = release_threads(releases);
  return still;
}

void FrozenTree::kill() {
  impl_->released = true;
  for (const auto& process : impl_->processes) ::kill(process.pid, SIGKILL);
  for (const auto& process : impl_->processes) {
    // Every thread must be reaped by its tracer, the leader last: it does not become a zombie before.
    for (auto thread = process.threads.rbegin(); thread != process.threads.rend(); ++thread) {
      for (auto stop = Tracee(thread->tid).wait_for(kStopDeadlineNs); stop && !stop->exited();)
        stop = Tracee(thread->tid).wait_for(kStopDeadlineNs);
    }
  }
}

}  // namespace drover
