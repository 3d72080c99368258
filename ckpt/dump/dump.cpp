// Writing an image: look at everything, refuse what can't be moved, write the metadata, then the pages.
#include "ckpt/dump/dump.h"

#include <fmt/format.h>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/text.h"

namespace drover {

namespace {

// All records of one process but its pages.
struct ProcessDump {
  ProcessState process;
  MemoryState memory;
  FilePlan files;
  SignalsAndTimers signals;
  std::vector<ThreadState> threads;
  std::vector<PageRun> pages;
};

}  // namespace

// Stores the value, or returns the reason why there is none.
template <class T>
static std::optional<Refusal> take(Or<T>&& from, T& to) {
  if (auto* refusal = std::get_if<Refusal>(&from)) return std::move(*refusal);
  to = std::move(std::get<T>(from));
  return std::nullopt;
}

static std::optional<Refusal> examine(const FrozenProcess& process, InjectedArea& injected,
                                      const std::vector<Mapping>& mappings, const DumpOptions& options,
                                      std::int64_t frozen_at_ns, ProcessDump& dump) {
  if (auto refusal = take(collect_process(process, injected), dump.process)) return refusal;
  collect_memory(process, injected, dump.memory);
  if (auto refusal = collect_guards(process, dump.memory)) return refusal;
  collect_area_policies(process, injected, dump.memory);
  if (auto refusal = take(collect_signals_and_timers(process, injected, frozen_at_ns), dump.signals)) return refusal;
  measure_timerfds(process, injected, frozen_at_ns, dump.files);
  if (auto refusal = take(collect_threads(process, injected, options), dump.threads)) return refusal;
  for (std::size_t i = 0; i < dump.threads.size(); ++i) dump.threads[i].pending = dump.signals.thread_pending[i];
  dump.pages = find_pages(process, injected, dump.memory, mappings);
  for (const PageRun& run : dump.pages) dump.memory.content_pages += run.pages;
  return std::nullopt;
}

static std::optional<Refusal> look_at(FrozenProcess& process, const DumpOptions& options, std::int64_t frozen_at_ns,
                                      ProcessDump& dump) {
  if (auto refusal = find_process_obstacle(process.pid)) return refusal;
  if (auto refusal = take(plan_files(process.pid, options), dump.files)) return refusal;
  measure_pipes(process.pid, dump.files);
  // The areas are listed before one of ours is among them.
  const auto mappings = parse_smaps(read_text(proc_path(process.pid, "smaps")));
  if (auto refusal = take(plan_memory(process.pid, mappings), dump.memory)) return refusal;
  InjectedArea injected(process);
  return examine(process, injected, mappings, options, frozen_at_ns, dump);
}

static void write_metadata(ImageWriter& writer, const ProcessDump& dump) {
  writer.add(RecordType::Process, dump.process);
  writer.add(RecordType::Memory, dump.memory);
  writer.add(RecordType::Files, dump.files.state);
  writer.add(RecordType::Signals, dump.signals.signals);
  writer.add(RecordType::Timers, dump.signals.timers);
  for (const ThreadState& thread : dump.threads) writer.add(RecordType::Thread, thread);
  write_nameless_files(dump.process.pid, dump.files, writer);
}

DumpResult dump(FrozenTree& tree, ByteSink& sink, const DumpOptions& options) {
  DumpResult result;
  auto& processes = tree.impl().processes;
  if (processes.size() > 1) {
    result.refused = Refusal{fmt::format("has {} processes", processes.size())};
    return result;
  }
  std::vector<ProcessDump> dumps(processes.size());
  for (std::size_t i = 0; i < processes.size(); ++i) {
    if ((result.refused = look_at(processes[i], options, tree.impl().frozen_at_own_ns, dumps[i]))) return result;
  }
  for (const ProcessDump& one : dumps) flush_files(one.memory, one.files.state);

  ImageWriter writer(sink);
  writer.add(RecordType::Host, collect_host(tree.impl(), dumps.front().memory));
  writer.add_bytes(RecordType::Context, options.context);
  for (const ProcessDump& one : dumps) write_metadata(writer, one);
  writer.add_bytes(RecordType::MetadataEnd, {});
  sink.flush();  // the other end can begin to check and to map while pages are read here
  for (std::size_t i = 0; i < processes.size(); ++i)
    write_pages(processes[i], dumps[i].pages, options.compress, writer, result.stats);
  writer.finish(result.stats.page_bytes / kPageBytes);

  result.stats.image_bytes = writer.image_bytes();
  result.stats.processes = dumps.size();
  for (const ProcessDump& one : dumps) {
    result.stats.threads += one.threads.size();
    for (const ThreadState& thread : one.threads) result.stats.estimated_waits += thread.wait && thread.wait->estimated;
  }
  return result;
}

}  // namespace drover
