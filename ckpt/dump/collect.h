// What dump() asks of a frozen process, one function per record; each in a file of its own name.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "ckpt/dump/ask_process.h"
#include "ckpt/dump/dump.h"
#include "ckpt/dump/obstacles.h"
#include "ckpt/freeze/injected_area.h"
#include "ckpt/freeze/tree_impl.h"
#include "ckpt/image/pages.h"
#include "ckpt/image/state/files.h"
#include "ckpt/image/state/host.h"
#include "ckpt/image/state/memory.h"
#include "ckpt/image/state/process.h"
#include "ckpt/image/state/signals.h"
#include "ckpt/image/state/thread.h"
#include "ckpt/image/state/timers.h"
#include "ckpt/image/writer.h"

namespace drover {

HostState collect_host(const FrozenTree::Impl& tree, const MemoryState& memory);
Or<ProcessState> collect_process(const FrozenProcess&, const OwnAnswers&, TreeObjects&);
ProcessState collect_zombie(pid_t);
// What a parent could still be told of its living children by wait(2): CLD_STOPPED or CLD_CONTINUED, by child.
void collect_untold(InjectedArea& parent, std::span<const pid_t> children, std::map<pid_t, int>& untold);
void collect_memory(const FrozenProcess&, const OwnAnswers&, MemoryState&);  // completes the plan
std::optional<Refusal> collect_guards(const FrozenProcess&, MemoryState&);
// `with_policy`: the beginnings of areas that may have one.
void collect_area_policies(const FrozenProcess&, InjectedArea&, std::span<const std::uint64_t> with_policy,
                           MemoryState&);
// Before anything is asked of its threads: could they answer?
std::optional<Refusal> find_key_obstacle(const FrozenProcess&);
void collect_protection_keys(const FrozenProcess&, InjectedArea&, MemoryState&);
// Dispositions, the process's queue and its timers, as of one moment.
struct SignalsAndTimers {
  SignalsState signals;
  TimersState timers;
  std::vector<std::vector<QueuedSignal>> thread_pending;  // in the order of FrozenProcess::threads
};
// Takes dispositions and timers out of the answers.
Or<SignalsAndTimers> collect_signals_and_timers(const FrozenProcess&, InjectedArea&, OwnAnswers&,
                                                std::int64_t frozen_at_ns);
// Of threads that have any: then they are set aside, until the thread is let go. Before anything is asked of them.
using FilterMap = std::map<pid_t, std::vector<SeccompFilter>>;
std::optional<Refusal> collect_seccomp(const FrozenProcess&, FilterMap&);
Or<std::vector<ThreadState>> collect_threads(const FrozenProcess&, InjectedArea&, const DumpOptions&);
// Of one that the others go on without. It has no state of its own but name and credentials; the rest is like
// another's.
ThreadState collect_ended_main_thread(const FrozenProcess&, const ProcessState&, const ThreadState& like);

void add_estimated_waits(const std::vector<ThreadState>&, std::vector<EstimatedWait>&);
// What processes have in common besides memory that is mapped shared, in the order of `processes`: found by kcmp(2).
std::vector<SharedState> find_sharing(std::span<const pid_t> processes);
// Threads that do not share what threads share as a rule.
std::optional<Refusal> find_thread_obstacle(const FrozenProcess&);
// Have both the same list of semaphore adjustments? (CLONE_SYSVSEM)
bool shares_adjustments(pid_t a, pid_t b);

// Marks the contents of files that the tree only reads.
void mark_files(std::span<MemoryState* const>, OpenFilesState&);
// Makes what the program has written visible to other nodes, where that is not so by itself (network file systems).
void flush_files(std::span<const MemoryState* const>, const OpenFilesState&);
// Sizes and seals.
void measure_objects(TreeObjects&);
// Those that are reached through this process.
void measure_timerfds(const FrozenProcess&, InjectedArea&, std::int64_t frozen_at_ns, FilePlan&);
// Which of the eventfds that are reached through this process are semaphores, where the kernel does not show it.
void find_semaphores(const FrozenProcess&, InjectedArea&, FilePlan&);
// The contents of all objects. `pages`: what travels of each process's memory; in private mappings of a file they are
// not the file's.
void write_objects(const TreeObjects&, const std::map<pid_t, const std::vector<PageRun>*>& pages, ImageWriter&);

// Which pages of the tree's shared memory have been found so far: by object, pages of the object.
using SharedPages = std::map<std::uint32_t, std::vector<bool>>;
// The pages that must travel, ascending; of shared memory those that no process before has shown.
Or<std::vector<PageRun>> find_pages(const FrozenProcess&, InjectedArea&, const MemoryState&,
                                    const std::vector<Mapping>& mappings, SharedPages&);
void write_pages(const FrozenProcess&, const MemoryState&, const std::vector<PageRun>&, bool compress, ImageWriter&,
                 DumpStats&);

}  // namespace drover
