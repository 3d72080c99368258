// Writing an image: look at everything, refuse what can't be moved, write the metadata, then the pages.
#include "ckpt/dump/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "ckpt/dump/aio.h"
#include "ckpt/dump/area_lists.h"
#include "ckpt/dump/collect.h"
#include "ckpt/dump/huge_pages.h"
#include "ckpt/dump/ipc.h"
#include "ckpt/image/births.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/vdso.h"

namespace drover {

namespace {

// All records of one process but its files and pages.
struct ProcessDump {
  ProcessState process;
  MemoryState memory;
  SignalsAndTimers signals;
  std::vector<ThreadState> threads;
  std::vector<PageRun> pages;
};

// What the processes share.
struct TreeDump {
  explicit TreeDump(const DumpOptions& options) : objects(options) {}
  FilePlan files;
  TreeObjects objects;
  SharedPages shared_pages;
  AioContexts aio;
  std::optional<IpcDump> ipc;                         // if it is the tree's own
  std::vector<SemaphoreSetState> foreign_semaphores;  // if it is not
  std::vector<ProcessDump> processes;
  std::vector<ProcessState> zombies;
  std::map<pid_t, std::vector<pid_t>> children;  // of each process those that live
  std::map<pid_t, int> untold;                   // what their parents don't know yet
};

}  // namespace

// Stores the value, or returns the reason why there is none.
template <class T>
static std::optional<Refusal> take(Or<T>&& from, T& to) {
  if (auto* refusal = std::get_if<Refusal>(&from)) return std::move(*refusal);
  to = std::move(std::get<T>(from));
  return std::nullopt;
}

// Huge pages are not taken from the memory that is free.
static std::uint64_t count_ordinary(const std::vector<PageRun>& runs, const MemoryState& memory) {
  std::uint64_t pages = 0;
  for (const PageRun& run : runs) pages += run.pages;
  for (const AreaState& area : memory.areas) {
    if ((area.flags & kAreaHugeMask) == 0) continue;
    for (const PageRun& run : runs) {
      const std::uint64_t start = std::max(run.address, area.start);
      const std::uint64_t end = std::min(run.address + run.pages * kPageBytes, area.end);
      if (start < end) pages -= (end - start) / kPageBytes;
    }
  }
  return pages;
}

static std::optional<Refusal> examine_semaphores(const FrozenProcess& process, InjectedArea& injected, TreeDump& tree) {
  std::vector<SemaphoreAdjustment> found;
  const auto& sets = tree.ipc ? tree.ipc->state.semaphore_sets : tree.foreign_semaphores;
  if (auto refusal = take(find_adjustments(process, injected, sets), found)) return refusal;
  if (!tree.ipc && !found.empty())
    return Refusal{fmt::format("process {} adjusts System V semaphores {} when it ends", process.pid,
                               sets[found.front().set].owner.id)};
  if (tree.ipc) {
    auto& all = tree.ipc->state.adjustments;
    for (const SemaphoreAdjustment& other : all) {
      if (!found.empty() && shares_adjustments(other.process, process.pid))
        return Refusal{
            fmt::format("process {} shares its semaphore adjustments with process {}", process.pid, other.process)};
    }
    all.insert(all.end(), found.begin(), found.end());
  }
  return std::nullopt;
}

static std::optional<Refusal> examine(const FrozenProcess& process, InjectedArea& injected,
                                      const std::vector<Mapping>& mappings, AreaLists& areas,
                                      const DumpOptions& options, std::int64_t frozen_at_ns, TreeDump& tree,
                                      ProcessDump& dump) {
  const SharedState shared = dump.process.shared;
  OwnAnswers answers;
  if (auto refusal = take(ask_process(process, injected), answers)) return refusal;
  if (auto refusal = take(collect_process(process, answers, tree.objects), dump.process)) return refusal;
  dump.process.shared = shared;
  collect_untold(injected, tree.children[process.pid], tree.untold);
  if (shared.memory == 0) {
    collect_memory(process, answers, dump.memory);
    if (auto refusal = collect_guards(process, dump.memory)) return refusal;
    collect_area_policies(process, injected, areas.take_policies(process.pid), dump.memory);
    collect_protection_keys(process, injected, dump.memory);
  }
  if (auto refusal = take(collect_signals_and_timers(process, injected, answers, frozen_at_ns), dump.signals))
    return refusal;
  measure_timerfds(process, injected, frozen_at_ns, tree.files);
  find_semaphores(process, injected, tree.files);
  if (auto refusal = take(collect_threads(process, injected, options), dump.threads)) return refusal;
  for (std::size_t i = 0; i < dump.threads.size(); ++i) dump.threads[i].pending = dump.signals.thread_pending[i];
  if (auto refusal = examine_semaphores(process, injected, tree)) return refusal;
  if (shared.handlers != 0) dump.signals.signals.actions.clear();
  if (auto refusal = find_mapped_huge_pages(process, injected, dump.memory, tree.objects)) return refusal;
  if (auto refusal = take(find_pages(process, injected, dump.memory, mappings, tree.shared_pages), dump.pages))
    return refusal;
  dump.memory.content_pages = count_ordinary(dump.pages, dump.memory);
  return std::nullopt;
}

static std::optional<Refusal> look_at(FrozenProcess& process, AreaLists& areas, const DumpOptions& options,
                                      std::int64_t frozen_at_ns, TreeDump& tree, ProcessDump& dump) {
  if (auto refusal = find_process_obstacle(process)) return refusal;
  if (auto refusal = find_thread_obstacle(process)) return refusal;
  FilterMap filters;
  if (auto refusal = collect_seccomp(process, filters)) return refusal;
  dump.memory.process = process.pid;
  std::vector<Mapping> mappings;
  if (dump.process.shared.memory == 0) {
    mappings = areas.take_areas(process.pid);
    if (auto refusal = take(plan_memory(process.pid, mappings, tree.objects), dump.memory)) return refusal;
    dump.memory.aio = std::move(tree.aio[process.pid]);
  }
  InjectedArea injected(process, find_vdso(mappings));
  auto refusal = examine(process, injected, mappings, areas, options, frozen_at_ns, tree, dump);
  for (std::size_t i = 0; i < dump.threads.size(); ++i) dump.threads[i].seccomp = filters[process.threads[i].tid];
  if (process.main_thread_ended && !dump.threads.empty())
    dump.threads.insert(dump.threads.begin(), collect_ended_main_thread(process, dump.process, dump.threads.front()));
  return refusal;
}

// Could the tree be born again as it is? Found out before anything is written.
static std::optional<Refusal> find_birth_obstacle(const TreeDump& tree) {
  std::vector<ProcessState> all;
  for (const ProcessDump& one : tree.processes) all.push_back(one.process);
  all.insert(all.end(), tree.zombies.begin(), tree.zombies.end());
  const auto births = plan_births(all, [](pid_t) { return true; });
  const auto* refusal = std::get_if<Refusal>(&births);
  return refusal != nullptr ? std::optional(*refusal) : std::nullopt;
}

static std::optional<Refusal> look_at_ipc(const DumpOptions& options, TreeDump& tree) {
  if (options.own_ipc) return take(collect_ipc(tree.objects), tree.ipc.emplace());
  tree.foreign_semaphores = list_foreign_semaphores();
  return std::nullopt;
}

static std::optional<Refusal> look_at_all(FrozenTree::Impl& frozen, const DumpOptions& options, TreeDump& tree) {
  std::vector<pid_t> pids;
  for (const FrozenProcess& process : frozen.processes) {
    pids.push_back(process.pid);
    if (pids.size() > 1)
      tree.children[parse_task_stat(read_text(proc_path(process.pid, "stat"))).parent].push_back(process.pid);
  }
  for (const FrozenProcess& process : frozen.processes) {
    if (auto refusal = find_key_obstacle(process)) return refusal;
  }
  const auto sharing = find_sharing(pids);
  // First: what is under way ends, and changes what the rest looks at.
  if (auto refusal = settle_aio(frozen, sharing, tree.aio)) return refusal;
  std::vector<pid_t> with_memory;
  std::size_t threads = 0;
  for (std::size_t i = 0; i < pids.size(); ++i) {
    if (sharing[i].memory == 0) with_memory.push_back(pids[i]);
    threads += frozen.processes[i].threads.size();
  }
  AreaLists areas(with_memory, threads >= kManyThreads ? &frozen.beside : nullptr);
  if (auto refusal = take(plan_files(pids, frozen.zombies, options, tree.objects, true, sharing), tree.files))
    return refusal;
  if (auto refusal = collect_terminals(tree.files, options.terminal_master)) return refusal;
  if (auto refusal = look_at_ipc(options, tree)) return refusal;
  for (const pid_t zombie : frozen.zombies) tree.zombies.push_back(collect_zombie(zombie));
  tree.processes.resize(pids.size());
  for (std::size_t i = 0; i < pids.size(); ++i) {
    tree.processes[i].process.shared = sharing[i];
    if (auto refusal = look_at(frozen.processes[i], areas, options, frozen.frozen_at_own_ns, tree, tree.processes[i]))
      return refusal;
  }
  for (ProcessDump& one : tree.processes) {
    const auto untold = tree.untold.find(one.process.pid);
    one.process.stop_reported = untold == tree.untold.end() || untold->second != CLD_STOPPED;
    one.process.continued = untold != tree.untold.end() && untold->second == CLD_CONTINUED;
  }
  if (tree.ipc) name_removed_segments(tree.objects, tree.ipc->state);
  measure_objects(tree.objects);
  return find_birth_obstacle(tree);
}

static void mark(TreeDump& tree) {
  std::vector<MemoryState*> memories;
  for (ProcessDump& one : tree.processes) memories.push_back(&one.memory);
  mark_files(memories, tree.files.state);
}

static void flush(const TreeDump& tree) {
  std::vector<const MemoryState*> memories;
  for (const ProcessDump& one : tree.processes) memories.push_back(&one.memory);
  flush_files(memories, tree.files.state);
}

static void write_metadata(ImageWriter& writer, const TreeDump& tree) {
  OpenFilesState files = tree.files.state;
  files.objects = tree.objects.objects;
  writer.add(RecordType::OpenFiles, files);
  std::map<pid_t, const std::vector<PageRun>*> pages;
  for (const ProcessDump& one : tree.processes) pages[one.process.pid] = &one.pages;
  write_objects(tree.objects, pages, writer);
  if (tree.ipc) {
    writer.add(RecordType::Ipc, tree.ipc->state);
    write_segments(*tree.ipc, writer);
  }
  for (std::size_t i = 0; i < tree.processes.size(); ++i) {
    const ProcessDump& dump = tree.processes[i];
    writer.add(RecordType::Process, dump.process);
    writer.add(RecordType::Memory, dump.memory);
    writer.add(RecordType::Files, tree.files.tables[i]);
    writer.add(RecordType::Signals, dump.signals.signals);
    writer.add(RecordType::Timers, dump.signals.timers);
    for (const ThreadState& thread : dump.threads) writer.add(RecordType::Thread, thread);
  }
  for (const ProcessState& zombie : tree.zombies) writer.add(RecordType::Process, zombie);
}

DumpResult dump(FrozenTree& tree, ByteSink& sink, const DumpOptions& options) {
  DumpResult result;
  TreeDump all(options);
  if ((result.refused = look_at_all(tree.impl(), options, all))) return result;
  mark(all);
  flush(all);

  ImageWriter writer(sink);
  writer.add(RecordType::Host, collect_host(tree.impl(), all.processes.front().memory));
  writer.add_bytes(RecordType::Context, options.context);
  write_metadata(writer, all);
  writer.add_bytes(RecordType::MetadataEnd, {});
  sink.flush();  // the other end can begin to check and to map while pages are read here
  for (std::size_t i = 0; i < all.processes.size(); ++i)
    write_pages(tree.impl().processes[i], all.processes[i].memory, all.processes[i].pages, options.compress, writer,
                result.stats);
  writer.finish(result.stats.page_bytes / kPageBytes);

  result.stats.image_bytes = writer.image_bytes();
  result.stats.processes = all.processes.size();
  for (const ProcessDump& one : all.processes) {
    result.stats.threads += one.threads.size();
    add_estimated_waits(one.threads, result.stats.estimated_waits);
  }
  for (const FileObject& object : all.objects.objects) {
    if (object.kind == ObjectKind::Tmpfs && object.written)
      result.memory_files.push_back({object.path, object.device, object.inode});
  }
  return result;
}

}  // namespace drover
