// The threads, with everything that belongs to a thread and can be set while it still has the restorer's capabilities.
#include <fmt/format.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>

#include "ckpt/restore/freed_ids.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/restore/protection_keys.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/cpu.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/protection_keys.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"

namespace drover {

// The last two: traced from birth as its maker is, and stopped before its first instruction, but other than with
// PTRACE_O_TRACECLONE its maker does not stop, too (kernel_clone(), ptrace_init_task()).
static constexpr std::uint64_t kThreadFlags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PTRACE | CLONE_UNTRACED;

static void clone_thread(Batch& batch, pid_t tid) {
  clone_args args{};
  args.flags = kThreadFlags;
  args.set_tid = batch.push_value(tid);
  args.set_tid_size = 1;
  batch.must(fmt::format("clone3 with thread id {}", tid), SYS_clone3, batch.push_value(args), sizeof args);
}

// `first`: the thread that the batch's first call makes.
static void finish_clones(HeldProcess& held, std::span<const RemoteSyscalls::Task> task, std::size_t first) {
  try {
    RemoteSyscalls::finish(task);
  } catch (const SystemError& error) {
    if (error.error() != EEXIST) throw;
    const Batch& batch = *task.front().batch;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch.result(i) >= 0) continue;
      Batch again = held.batch();
      clone_thread(again, held.image.threads[first + i].tid);
      with_freed_id([&] { held.run(again); });
    }
  }
}

// The leader makes them all, some at a time: `meanwhile` sets off those that were born before. A few first, since
// nothing can be done meanwhile.
static void clone_threads(HeldProcess& held, const std::function<void(std::size_t first, std::size_t end)>& meanwhile) {
  constexpr std::size_t kFew = 4, kSome = 16;
  for (std::size_t made = 1, before = 1; before < held.image.threads.size();) {
    Batch batch = held.batch();
    const std::size_t end = std::min(made + (made == 1 ? kFew : kSome), held.image.threads.size());
    for (std::size_t i = made; i < end; ++i) clone_thread(batch, held.image.threads[i].tid);
    const RemoteSyscalls::Task task[] = {{&held.leader(), &batch}};
    if (!batch.empty()) RemoteSyscalls::start(held.area, task);
    meanwhile(before, made);
    if (!batch.empty()) finish_clones(held, task, made);
    for (std::size_t i = made; i < end; ++i) {
      const pid_t tid = held.image.threads[i].tid;
      Tracee(tid).wait();
      held.threads.push_back(std::make_unique<RemoteSyscalls>(held.memory, tid, i, held.leader()));
    }
    before = made;
    made = end;
  }
}

namespace {

// A thread that was bound to CPUs that this node lacks goes on with all of the node's rather than not at all: the
// kernel refuses a set of which no CPU may be used here (EINVAL, sched_setaffinity(2)), and what was set before stays.
struct Affinity {
  cpu_set_t node, own;
  bool all;

  Affinity(const SchedulingState& scheduling, std::span<const int> node_cpus) : all(scheduling.all_node_cpus) {
    std::memset(&node, node_cpus.empty() ? 0xff : 0, sizeof node);  // the kernel leaves out what is not there
    for (const int cpu : node_cpus) CPU_SET(static_cast<unsigned>(cpu), &node);
    CPU_ZERO(&own);
    for (const int cpu : scheduling.cpus) CPU_SET(static_cast<unsigned>(cpu), &own);
  }
};

}  // namespace

static void add_affinity(Batch& batch, const Affinity& affinity) {
  batch.must("set CPU affinity", SYS_sched_setaffinity, 0, sizeof affinity.node, batch.push_value(affinity.node));
  if (!affinity.all) batch.may(SYS_sched_setaffinity, 0, sizeof affinity.own, batch.push_value(affinity.own));
}

static bool is_ordinary(const SchedulingState& scheduling) {
  return scheduling.policy == SCHED_OTHER && scheduling.flags == 0 && scheduling.nice == 0;
}

static bool takes_affinity_late(const HeldProcess& held) {
  const auto& threads = held.image.threads;
  // Whoever has changed users may not be bound from outside any more (check_same_owner(), kernel/sched/syscalls.c), and
  // some policies are refused to who is bound (sched_setattr(2), SCHED_DEADLINE).
  return threads.size() < kManyThreads && std::all_of(threads.begin(), threads.end(), [](const ThreadState& thread) {
           return is_ordinary(thread.scheduling) && thread.credentials.uid[1] == ::geteuid();
         });
}

void set_late_affinity(const HeldProcess& held, std::span<const int> node_cpus) {
  if (!takes_affinity_late(held)) return;
  for (const ThreadState& thread : held.image.threads) {
    const Affinity affinity(thread.scheduling, node_cpus);
    const int result = ::sched_setaffinity(thread.tid, sizeof affinity.node, &affinity.node);
    if (result != 0 && errno == ESRCH) continue;  // it has been killed
    check(result, "set CPU affinity");
    if (!affinity.all) ::sched_setaffinity(thread.tid, sizeof affinity.own, &affinity.own);
  }
}

static void set_scheduling(Batch& batch, const SchedulingState& scheduling) {
  uapi::SchedAttributes attributes{};
  attributes.size = sizeof attributes - 2 * sizeof(std::uint32_t);  // without utilisation clamps
  attributes.policy = scheduling.policy;
  attributes.flags = scheduling.flags & 0x7;  // reset-on-fork, reclaim, deadline-overrun
  attributes.nice = scheduling.nice;
  attributes.priority = scheduling.priority;
  attributes.runtime = scheduling.runtime, attributes.deadline = scheduling.deadline;
  attributes.period = scheduling.period;
  batch.must("setpriority", SYS_setpriority, PRIO_PROCESS, 0, scheduling.nice);  // of the thread (setpriority(2))
  batch.must("set scheduling policy and nice value", SYS_sched_setattr, 0, batch.push_value(attributes), 0);
  if (scheduling.io_priority > 0)
    batch.must("ioprio_set", SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, scheduling.io_priority);
  if (scheduling.numa.mode != 0)  // a node without those memory nodes gives what it has, as it does with CPUs
    batch.may(SYS_set_mempolicy, scheduling.numa.mode, batch.push_value(scheduling.numa.nodes),
              kNumaMaskWords * 64 + 1);
  batch.must("PR_SET_TIMERSLACK", SYS_prctl, PR_SET_TIMERSLACK, scheduling.timer_slack_ns, 0, 0, 0);
}

// `maker`: has scheduling and name of its own already; null: nobody has. `affinity`: null: of that is taken care later.
static void add_thread_calls(Batch& batch, const ThreadState& thread, const ThreadState* maker,
                             const Affinity* affinity) {
  if (maker == nullptr || maker->name != thread.name)
    batch.must("PR_SET_NAME", SYS_prctl, PR_SET_NAME, batch.push_string(thread.name), 0, 0, 0);
  batch.must("set_tid_address", SYS_set_tid_address, thread.tid_address);
  if (thread.robust_list != 0)
    batch.must("set_robust_list", SYS_set_robust_list, thread.robust_list, thread.robust_list_bytes);
  // The kernel reports the flags with its own remark that the thread is on that stack now; it takes only one back.
  constexpr std::int32_t kOnStack = 1, kDisable = 2;
  if ((thread.altstack_flags & kDisable) == 0) {
    stack_t stack{};
    stack.ss_sp = reinterpret_cast<void*>(thread.altstack_address);
    stack.ss_size = thread.altstack_bytes;
    stack.ss_flags = thread.altstack_flags & ~kOnStack;
    batch.must("sigaltstack", SYS_sigaltstack, batch.push_value(stack), 0);
  }
  if (thread.rseq_address != 0)
    batch.must("rseq", SYS_rseq, thread.rseq_address, thread.rseq_bytes, 0, thread.rseq_signature);
  if (maker != nullptr && maker->scheduling == thread.scheduling) return;
  if (affinity != nullptr) add_affinity(batch, *affinity);
  set_scheduling(batch, thread.scheduling);
}

static bool is_laid_out_as_here(const HostState& host) {
  if (is_this_boot(host.boot_id)) return true;
  if (host.xcr0 != cpu_features().xcr0) return false;
  for (unsigned i = 2; i < host.xsave_offsets.size(); ++i) {
    if (host.xsave_offsets[i] != 0 && host.xsave_offsets[i] != xsave_offset(i)) return false;
  }
  return true;
}

// The area of another processor can be longer, and have a component somewhere else (PKRU, AMD's and Intel's).
static std::vector<std::byte> xstate_for_here(const HeldProcess& held, const ThreadState& thread, const Tracee& tracee,
                                              bool as_it_is) {
  constexpr std::size_t kLegacyAndHeader = 576;
  static const std::size_t size = tracee.xstate_bytes();  // the kernel's, one for all (update_regset_xstate_info())
  if (thread.xstate.size() > std::max<std::size_t>(size, held.host.xsave_bytes))
    throw ImageError("damaged image: processor state is too long");
  std::vector<std::byte> from = thread.xstate;
  from.resize(std::max<std::size_t>(size, held.host.xsave_bytes));
  if (as_it_is) {
    from.resize(size);
    return from;
  }
  std::vector<std::byte> to(size);
  std::copy_n(from.begin(), kLegacyAndHeader, to.begin());
  for (unsigned i = 2; i < 63 && i < held.host.xsave_offsets.size(); ++i) {
    const std::size_t source = held.host.xsave_offsets[i], target = xsave_offset(i), bytes = xsave_bytes_of(i);
    if (source == 0) continue;
    if (target == 0 || source + bytes > from.size() || target + bytes > to.size())
      throw ImageError("damaged image: processor state does not fit");
    std::copy_n(from.data() + source, bytes, to.data() + target);
  }
  return to;
}

// `first_pkru`: what a thread begins with here, and has where the image's machine knows no protection keys.
static void set_xstate(const HeldProcess& held, const ThreadState& thread, const Tracee& tracee, bool as_it_is,
                       std::uint32_t first_pkru) {
  constexpr unsigned kPkru = 9;
  std::vector<std::byte> xstate = xstate_for_here(held, thread, tracee, as_it_is);
  if ((held.host.xcr0 >> kPkru & 1) == 0) set_pkru(xstate, first_pkru);
  tracee.set_xstate(xstate);
  check_pkru(tracee, pkru_of(xstate));
}

void make_threads(HeldProcess& held, std::span<const int> node_cpus) {
  const ThreadState& leader = held.image.threads.front();
  // What a thread has from its maker, if the leader has it before it makes the others. Not if that would slow the
  // leader down, or can't be inherited.
  const ThreadState* const maker = is_ordinary(leader.scheduling) ? &leader : nullptr;
  const TaskStatus now = parse_task_status(read_record(proc_path(held.pid, "status")));
  const bool as_it_is = is_laid_out_as_here(held.host);
  // From when it is registered on, the kernel writes to a thread's rseq area with the thread's own rights: where there
  // are protection keys, its state is set when it has registered that.
  const bool early = pkru_offset() == 0;
  std::vector<std::uint32_t> first_pkru(held.image.threads.size());
  const auto set_states = [&](std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; ++i)
      set_xstate(held, held.image.threads[i], held.threads[i]->tracee(), as_it_is, first_pkru[i]);
  };

  first_pkru[0] = open_all_keys(held.leader().tracee());
  Batch own = held.area.batch(0);
  const bool late = takes_affinity_late(held);
  const auto add_calls = [&](Batch& batch, const ThreadState& thread, const ThreadState* from) {
    const Affinity affinity(thread.scheduling, node_cpus);
    add_thread_calls(batch, thread, from, late ? nullptr : &affinity);
  };
  add_calls(own, leader, nullptr);
  held.leader().run(held.area, own);

  std::vector<Batch> batches;
  std::vector<RemoteSyscalls::Task> tasks;
  batches.reserve(held.image.threads.size());
  clone_threads(held, [&](std::size_t first, std::size_t end) {
    if (early) set_states(first, end);
    const std::size_t begun = tasks.size();
    for (std::size_t i = first; i < end; ++i) {
      const ThreadState& thread = held.image.threads[i];
      Batch& batch = batches.emplace_back(held.area.batch_before(batches.empty() ? nullptr : &batches.back()));
      add_calls(batch, thread, maker);
      if (!takes_credentials_late(held, i)) add_credentials(batch, thread, now, held.image.process);
      tasks.push_back({held.threads[i].get(), &batch});
      first_pkru[i] = open_all_keys(held.threads[i]->tracee());
    }
    RemoteSyscalls::start(held.area, std::span(tasks).subspan(begun));
  });
  RemoteSyscalls::finish(tasks);
  set_states(0, early ? 1 : held.threads.size());
}

}  // namespace drover
