// What dump() asks of a frozen process, one function per record; each in a file of its own name.
#pragma once

#include "ckpt/dump/dump.h"
#include "ckpt/dump/injected_area.h"
#include "ckpt/dump/obstacles.h"
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
Or<ProcessState> collect_process(const FrozenProcess&, InjectedArea&);
void collect_memory(const FrozenProcess&, InjectedArea&, MemoryState&);  // completes the plan
std::optional<Refusal> collect_guards(const FrozenProcess&, MemoryState&);
void collect_area_policies(const FrozenProcess&, InjectedArea&, MemoryState&);
// Dispositions, the process's queue and its timers, as of one moment.
struct SignalsAndTimers {
  SignalsState signals;
  TimersState timers;
  std::vector<std::vector<QueuedSignal>> thread_pending;  // in the order of FrozenProcess::threads
};
Or<SignalsAndTimers> collect_signals_and_timers(const FrozenProcess&, InjectedArea&, std::int64_t frozen_at_ns);
Or<std::vector<ThreadState>> collect_threads(const FrozenProcess&, InjectedArea&, const DumpOptions&);

// Makes what the program has written visible to other nodes, where that is not so by itself (network file systems).
void flush_files(const MemoryState&, const FilesState&);
void measure_pipes(pid_t pid, FilePlan&);
void measure_timerfds(const FrozenProcess&, InjectedArea&, std::int64_t frozen_at_ns, FilePlan&);
// The contents of unlinked files and of pipes.
void write_nameless_files(pid_t pid, const FilePlan&, ImageWriter&);

// The pages that must travel, ascending.
std::vector<PageRun> find_pages(const FrozenProcess&, InjectedArea&, const MemoryState&,
                                const std::vector<Mapping>& mappings);
void write_pages(const FrozenProcess&, const std::vector<PageRun>&, bool compress, ImageWriter&, DumpStats&);

}  // namespace drover
