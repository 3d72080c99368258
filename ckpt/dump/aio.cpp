// The contexts of a whole tree. io_destroy(2) waits for RCU as well, tens of milliseconds: as many as there are threads
// are exchanged at once. All are prepared before the first is touched, so that whoever is refused has lost nothing.
#include "ckpt/dump/aio.h"

#include <algorithm>
#include <exception>
#include <list>

#include "ckpt/dump/collect.h"
#include "ckpt/dump/exchange_aio.h"
#include "ckpt/sys/text.h"

namespace drover {

namespace {

struct AioProcess {
  explicit AioProcess(FrozenProcess& process) : pid(process.pid), threads(process.threads.size()), injected(process) {}

  pid_t pid;
  std::size_t threads;
  InjectedArea injected;
  std::list<AioExchange> exchanges;
};

// Runs all, and throws then what the first of those that failed has thrown.
class Failures {
 public:
  template <class Do>
  void attempt(Do&& todo) {
    try {
      todo();
    } catch (...) {
      if (!first_) first_ = std::current_exception();
    }
  }
  void raise() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::exception_ptr first_;
};

}  // namespace

// Made by a dumper that has been killed.
static bool is_spare(const FrozenProcess& process, const Mapping& mapping) {
  AioRing ring{};
  return process.memory.try_read(mapping.start, std::as_writable_bytes(std::span(&ring, 1))) &&
         is_sound(ring, mapping.bytes()) && ring.compatible_features == kAioSpare;
}

static std::optional<Refusal> find_contexts(FrozenProcess& process, std::list<AioProcess>& found) {
  if (read_text(proc_path(process.pid, "maps")).find(kAioRingPath) == std::string::npos) return std::nullopt;
  const auto mappings = parse_smaps(read_text(proc_path(process.pid, "smaps")));
  FilterMap unused;
  if (auto refusal = collect_seccomp(process, unused)) return refusal;
  if (is_on_its_way_home(process)) return Refusal{"a dump of it was killed a moment ago and is being undone", true};
  AioProcess& one = found.emplace_back(process);
  for (const Mapping& mapping : mappings) {
    if (mapping.path != kAioRingPath) continue;
    if (is_spare(process, mapping)) {
      const AioMaker maker{one.injected.leader(), one.injected.area()};
      maker.destroy(mapping.start, static_cast<std::uint32_t>(mapping.bytes() / kAioEventBytes - 1));
      continue;
    }
    if (auto refusal = one.exchanges.emplace_back(process.pid, one.injected, mapping).look()) return refusal;
  }
  return std::nullopt;
}

static void exchange_all(std::list<AioProcess>& processes, Failures& failures) {
  std::vector<std::list<AioExchange>::iterator> next;
  for (AioProcess& process : processes) next.push_back(process.exchanges.begin());
  for (std::vector<AioExchange*> busy;; busy.clear()) {
    std::size_t index = 0;
    for (AioProcess& process : processes) {
      auto& exchange = next[index++];
      for (std::size_t thread = 0; thread < process.threads && exchange != process.exchanges.end(); ++thread) {
        failures.attempt([&] { exchange->begin(thread), busy.push_back(&*exchange); });
        ++exchange;
      }
    }
    if (busy.empty()) return;
    std::vector<AioExchange*> exchanged;
    for (AioExchange* exchange : busy) failures.attempt([&] { exchange->finish(), exchanged.push_back(exchange); });
    for (AioExchange* exchange : exchanged) failures.attempt([&] { exchange->settle(); });
  }
}

std::optional<Refusal> settle_aio(FrozenTree::Impl& tree, std::span<const SharedState> sharing, AioContexts& contexts) {
  std::list<AioProcess> processes;
  for (std::size_t i = 0; i < tree.processes.size(); ++i) {
    if (sharing[i].memory != 0) continue;
    if (auto refusal = find_contexts(tree.processes[i], processes)) return refusal;
  }
  for (AioProcess& process : processes) {
    for (AioExchange& exchange : process.exchanges) {
      if (auto refusal = exchange.prepare()) return refusal;
    }
  }
  Failures failures;
  exchange_all(processes, failures);
  failures.raise();
  for (AioProcess& process : processes) {
    for (AioExchange& exchange : process.exchanges) contexts[process.pid].push_back(exchange.take());
  }
  return std::nullopt;
}

}  // namespace drover
