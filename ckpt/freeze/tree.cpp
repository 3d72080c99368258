#include "ckpt/freeze/tree.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <string_view>

#include "ckpt/freeze/bring_home.h"
#include "ckpt/freeze/process_freezer.h"
#include "ckpt/freeze/release.h"
#include "ckpt/freeze/restartable_sequences.h"
#include "ckpt/freeze/tree_impl.h"
#include "ckpt/freeze/vfork.h"
#include "ckpt/sys/cpu.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"

namespace drover {

static_assert(kFreezeOptions == PTRACE_O_TRACESYSGOOD);

static void put(FrozenThread& thread, const Registers& registers) {
  Tracee(thread.tid).set_registers(registers);
  thread.present = registers;
}

const TaskStatus& status_of(const FrozenProcess& process, const FrozenThread& thread) {
  if (!thread.status) {
    const UniqueFd& file = thread.files.status;
    const auto text = file ? try_read_record(file.get()) : std::nullopt;
    thread.status =
        parse_task_status(text ? *text : read_record(fmt::format("/proc/{}/task/{}/status", process.pid, thread.tid)));
  }
  return *thread.status;
}

// Would the thread run a handler of its own, or stop, if it went on now? Then an EINTR is the program's.
static bool signal_about_to_be_delivered(const FrozenProcess& process, pid_t tid) {
  if (process.stopped_by != 0) return true;
  const auto text = try_read_text(fmt::format("/proc/{}/task/{}/status", process.pid, tid));
  if (!text) return true;
  const TaskStatus status = parse_task_status(*text);
  constexpr std::uint64_t kStopSignals = std::uint64_t{0x1f} << (SIGCONT - 1);  // and STOP, TSTP, TTIN, TTOU
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

// As soon as a process stands still: if we are killed before, it sees what its stop has interrupted.
static void examine_threads(FrozenProcess& process, FrozenTree::Impl& tree) {
  tree.frozen_at = read_host_clocks();
  tree.frozen_at_own_ns = clock_ns(CLOCK_MONOTONIC);
  leave_restartable_sequences(process);
  for (FrozenThread& thread : process.threads) {
    if (!thread.stopped || thread.examined) continue;  // one in vfork(2), or that has made us give up
    thread.registers = thread.present;
    const bool eintr = static_cast<std::int64_t>(thread.registers.rax) == -EINTR;
    auto call =
        examine_call(process.memory, thread.registers, eintr && signal_about_to_be_delivered(process, thread.tid),
                     recall(process, thread, tree), tree.frozen_at_own_ns);
    thread.registers = call.registers;
    thread.wait = call.wait;
    thread.examined = true;
    thread.examined_at_ns = tree.frozen_at_own_ns;
    // At once, so that a call turned into EINTR is undone even if we die. A timed one is then issued with its whole
    // time: its rest needs us (release.h).
    if (!thread.wait || static_cast<std::int64_t>(thread.registers.rax) != -EINTR) {
      const bool changed = std::memcmp(&thread.present, &thread.registers, sizeof thread.present) != 0;
      if (!thread.wait && changed) put(thread, thread.registers);
      continue;
    }
    put(thread, issued_again(thread.registers));
  }
}

// Has a parent that waits for its vfork child by our means: then a thread has taken the main thread's place.
static bool is_stood_in_for(const FrozenTree::Impl& tree, pid_t pid) {
  return std::any_of(tree.processes.begin(), tree.processes.end(), [pid](const FrozenProcess& process) {
    return std::any_of(process.threads.begin(), process.threads.end(), [&](const FrozenThread& thread) {
      const auto wait = find_vfork_wait(process, thread);
      return wait && wait->registers.rax == static_cast<std::uint64_t>(pid);
    });
  });
}

static void see_through(FrozenProcess& process, FrozenTree::Impl& tree) {
  const pid_t first = process.threads.front().tid;
  if (first == process.pid) return;
  process.memory = RemoteMemory(first);
  process.main_thread_ended = process.threads.size() > 1 || !is_stood_in_for(tree, process.pid);
  tree.seen_through.emplace_back(process.pid, first);
}

Refusal has_been_killed(pid_t pid) {
  Refusal refusal{fmt::format("process {} has been killed", pid)};
  refusal.passing = true;
  return refusal;
}

// A moment more for its child, while that still runs.
static std::optional<Refusal> wait_for_vforks(FrozenProcess& process, FrozenTree::Impl& tree) {
  constexpr std::int64_t kPatienceNs = 100'000'000;
  for (FrozenThread& thread : process.threads) {
    if (thread.stopped) continue;
    if (auto refusal = stop_thread(process, thread, tree.still.lingering, kPatienceNs)) return refusal;
    if (thread.tid == 0) return has_been_killed(process.pid);
    if (thread.stopped) examine_threads(process, tree);
  }
  return std::nullopt;
}

// Parents before children: a parent in vfork() can't stop before its child has gone on to execve() or its end, which is
// soon as a rule.
static std::optional<Refusal> stop_one(pid_t pid, FrozenTree::Impl& tree) {
  FrozenProcess& process = tree.processes.emplace_back(pid);
  auto refusal = stop_process(process, tree.still.lingering, tree.processes.size() == 1);
  if (!process.threads.empty()) {
    see_through(process, tree);
    if (!refusal) refusal = bring_home(process);
    examine_threads(process, tree);  // also if we give up
    return refusal ? refusal : wait_for_vforks(process, tree);
  }
  if (refusal) return refusal;
  tree.processes.pop_back();
  if (const auto stat = try_read_text(proc_path(pid, "stat")); stat && parse_task_stat(*stat).state == 'Z')
    tree.zombies.push_back(pid);
  return std::nullopt;
}

FrozenProcess* FrozenTree::Impl::find(pid_t pid) {
  const auto found = std::find_if(processes.begin(), processes.end(),
                                  [pid](const FrozenProcess& process) { return process.pid == pid; });
  return found != processes.end() ? &*found : nullptr;
}

static bool is_known(pid_t pid, FrozenTree::Impl& tree) {
  return std::find(tree.zombies.begin(), tree.zombies.end(), pid) != tree.zombies.end() || tree.find(pid) != nullptr;
}

static std::vector<pid_t> children_of(pid_t pid, FrozenTree::Impl& tree) {
  const FrozenProcess* process = tree.find(pid);
  if (process == nullptr) return list_children(pid);
  std::vector<pid_t> children;
  for (const FrozenThread& thread : process->threads) {
    const auto text = thread.files.children ? try_read_record(thread.files.children.get())
                                            : try_read_text(fmt::format("/proc/{}/task/{}/children", pid, thread.tid));
    if (!text) continue;  // it has been killed
    for (const pid_t child : parse_children(*text)) children.push_back(child);
  }
  return children;
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
    for (const pid_t pid : list_tree(root, reaper, [&](pid_t pid) { return children_of(pid, tree); })) {
      if (is_known(pid, tree) || ::access(proc_path(pid, "task").c_str(), F_OK) != 0) continue;
      found = true;
      if (auto refusal = stop_one(pid, tree)) return refusal;
    }
  }
  // One that the reaper has taken in is about to vanish.
  std::erase_if(tree.zombies, [&tree](pid_t pid) {
    const auto stat = try_read_text(proc_path(pid, "stat"));
    const pid_t parent = stat ? parse_task_stat(*stat).parent : 0;
    return tree.find(parent) == nullptr;
  });
  return std::nullopt;
}

// Children before parents: a child may be a parent in vfork(2), too.
static std::optional<Refusal> end_vforks(FrozenTree::Impl& tree) {
  for (auto process = tree.processes.rbegin(); process != tree.processes.rend(); ++process) {
    bool late = false;
    for (FrozenThread& thread : process->threads) {
      if (thread.stopped) continue;
      late = true;
      // Its child may have gone on before it was stopped itself.
      if (auto refusal = stop_thread(*process, thread, tree.still.lingering, 1)) return refusal;
      if (thread.tid == 0) return has_been_killed(process->pid);
      if (thread.stopped) continue;
      const pid_t pid = find_vfork_child(process->pid, thread.tid);
      FrozenProcess* child = tree.find(pid);
      auto refusal = child != nullptr ? end_vfork(tree, *process, thread, *child)
                                      : stop_thread(*process, thread, tree.still.lingering, kStopDeadlineNs);
      if (refusal) return refusal;
      if (!thread.stopped && thread.tid != 0)
        return Refusal{fmt::format("process {} does not leave its vfork()", process->pid)};
      if (thread.tid == 0) return has_been_killed(process->pid);
    }
    if (late) examine_threads(*process, tree);
  }
  return std::nullopt;
}

// The tree is frozen from the moment when all of it stands still: waits have gone on until then.
static void count_from_now(FrozenTree::Impl& tree) {
  tree.frozen_at = read_host_clocks();
  tree.frozen_at_own_ns = clock_ns(CLOCK_MONOTONIC);
  for (FrozenProcess& process : tree.processes) {
    for (FrozenThread& thread : process.threads) {
      if (!thread.wait) continue;
      const std::int64_t since_ns = tree.frozen_at_own_ns - thread.examined_at_ns;
      thread.wait->remaining_ns = std::max<std::int64_t>(0, thread.wait->remaining_ns - since_ns);
    }
  }
}

static std::size_t count_threads(pid_t pid) {
  struct stat task {};  // a link for each of them, and two (proc_task_getattr())
  return ::stat(proc_path(pid, "task").c_str(), &task) == 0 && task.st_nlink > 2 ? task.st_nlink - 2 : 0;
}

std::variant<FrozenTree, Refusal> FrozenTree::freeze(pid_t root, StillWaiting* still, pid_t reaper) {
  // What is asked once and remembered is asked now, while the program still runs. The clocks: before anybody unshares.
  read_host_clocks();
  kernel_features();
  cpu_features();
  xsave_offset(2);
  online_processors();
  read_boot_id();
  FrozenTree tree(std::make_unique<Impl>());
  Impl& impl = *tree.impl_;
  if (still != nullptr) impl.still = std::move(*still);
  if (count_threads(root) >= kManyThreads) impl.beside.prepare();
  std::optional<Refusal> refusal;
  try {
    refusal = stop_processes(root, reaper, impl);
    if (!refusal) refusal = end_vforks(impl);
  } catch (const SystemError& error) {
    refusal = Refusal{error.what()};
  } catch (const TraceeGone& gone) {
    refusal = Refusal{gone.what()};
    refusal->passing = true;
  }
  count_from_now(impl);
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
                               std::vector<ThreadRelease>& releases, LingeringThreads& unstopped) {
  const Tracee tracee(thread.tid);
  if (!thread.stopped) {
    if (thread.tid != 0) unstopped.add_unstopped(thread.tid);
    return;
  }
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
  LingeringThreads unstopped;
  std::vector<ThreadRelease> releases;
  const std::int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  const std::int64_t to_host_ns = impl_->frozen_at.monotonic_ns - impl_->frozen_at_own_ns;
  for (const auto& process : impl_->processes) {
    for (const auto& thread : process.threads) {
      if (!thread.examined) {
        release_unexamined(process, thread, releases, unstopped);
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
    if (process.ended_traced) unstopped.add_unstopped(process.pid);
  }
  still.lingering = release_threads(releases);
  still.lingering.append(std::move(unstopped));
  return still;
}

static std::size_t resident_bytes(pid_t pid) {
  const std::string text = try_read_text(proc_path(pid, "statm")).value_or("");
  std::string_view rest = text;
  next_word(rest);  // of the address space
  return to_number(next_word(rest)).value_or(0) * static_cast<std::size_t>(::getpagesize());
}

// The process whose memory takes longest to free, if that is long; else 0.
static pid_t find_large(const std::vector<FrozenProcess>& processes) {
  std::size_t most = std::size_t{64} << 20;
  pid_t large = 0;
  for (const auto& process : processes) {
    const std::size_t bytes = resident_bytes(process.pid);
    if (bytes > most) large = process.pid;
    most = std::max(most, bytes);
  }
  return large;
}

// Sleeping until then, where Tracee::wait_for() looks again and again: the end of a process that had many threads takes
// some milliseconds.
static void wait_for_end(pid_t pid) {
  const UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd end{handle.get(), POLLIN, 0};
  if (handle) ::poll(&end, 1, static_cast<int>(kStopDeadlineNs / 1'000'000));
}

// A process frees its memory itself when it ends, on one processor: 1 GiB in some 70 ms. We do it beside a large one,
// which takes two thirds of that. process_mrelease(2) (Linux >= 5.15) finds memory only from the kill until the process
// has given it up (exit_mm()), so nothing may come between. Where it fails nothing is lost.
void FrozenTree::kill() {
  const pid_t large = find_large(impl_->processes);
  impl_->released = true;
  for (const auto& process : impl_->processes)
    if (process.pid != large) ::kill(process.pid, SIGKILL);
  if (large != 0) {
    const UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, large, 0)));
    ::kill(large, SIGKILL);
    ::syscall(SYS_process_mrelease, handle.get(), 0);
  }
  // Beside the end of the threads, which takes about as long.
  impl_->beside.end();
  for (auto& process : impl_->processes) {
    for (auto& thread : process.threads) thread.files = {};
  }
  for (const auto& process : impl_->processes) {
    // Every thread must be reaped by its tracer, the leader last: it does not become a zombie before.
    for (auto thread = process.threads.rbegin(); thread != process.threads.rend(); ++thread) {
      if (thread->tid == process.pid) wait_for_end(process.pid);
      for (auto stop = Tracee(thread->tid).wait_for(kStopDeadlineNs); stop && !stop->exited();)
        stop = Tracee(thread->tid).wait_for(kStopDeadlineNs);
    }
    if (process.ended_traced) Tracee(process.pid).wait_for(kStopDeadlineNs);
  }
}

}  // namespace drover
