// What areas have besides contents and advice: guard pages, and policies of where their memory comes from.
#include <fmt/format.h>
#include <sys/syscall.h>

#include <map>

#include "ckpt/dump/collect.h"
#include "ckpt/dump/page_map.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/uapi.h"

namespace drover {

std::optional<Refusal> collect_guards(const FrozenProcess& process, MemoryState& memory) {
  if (!kernel_features().guard_scan) return std::nullopt;  // where they can be made but not seen, reading them fails
  const PageMap map(process.pid);
  std::optional<Refusal> refusal;
  const auto add = [&](const AreaState& area, std::uint64_t start, std::uint64_t end) {
    if (area.kind == AreaKind::Vdso) return;
    memory.guards.push_back({start, (end - start) / kPageBytes});
    // What another view of the same object would show there can't be read through this one.
    if (area.kind == AreaKind::SharedAnonymous || area.kind == AreaKind::SystemV)
      refusal = Refusal{fmt::format("has guard pages in shared memory, at {:#x}", start)};
  };
  map.scan_adjacent(memory.areas, PageCategories{.all = uapi::kPageIsGuard}, add);
  return refusal;
}

namespace {

struct PolicyQuestion {
  std::uint64_t mode_at = 0, nodes_at = 0;
  std::size_t call = 0;
};

// What is left of it where the kernel has no NUMA support: the default.
NumaPolicy answer(const PolicyQuestion& question, const Batch& batch, const RemoteMemory& memory) {
  NumaPolicy policy;
  if (batch.result(question.call) != 0) return policy;
  policy.mode = memory.load<std::int32_t>(question.mode_at);
  policy.nodes = memory.load<decltype(policy.nodes)>(question.nodes_at);
  return policy;
}

PolicyQuestion ask(Batch& batch, std::uint64_t address, unsigned flags) {
  PolicyQuestion question;
  question.mode_at = batch.space(sizeof(std::int32_t));
  question.nodes_at = batch.space(sizeof(NumaPolicy::nodes));
  question.call =
      batch.may(SYS_get_mempolicy, question.mode_at, question.nodes_at, kNumaMaskWords * 64, address, flags);
  return question;
}

}  // namespace

// An area without a policy of its own is shown with its thread's, and set_mempolicy(2) changes that: only what differs
// from the leader's is the area's own for certain.
void collect_area_policies(const FrozenProcess& process, InjectedArea& injected,
                           std::span<const std::uint64_t> with_policy, MemoryState& memory) {
  constexpr unsigned kOfAddress = 2;  // MPOL_F_ADDR
  std::map<std::uint64_t, const AreaState*> by_start;
  for (const AreaState& area : memory.areas) by_start[area.start] = &area;
  for (const std::uint64_t start : with_policy) {
    const auto area = by_start.find(start);
    if (area == by_start.end() || area->second->kind == AreaKind::Vdso || area->second->kind == AreaKind::AioRing)
      continue;
    Batch batch = injected.area().main_batch();
    const auto own = ask(batch, 0, 0), of_area = ask(batch, start, kOfAddress);
    injected.leader().run(injected.area(), batch);
    const NumaPolicy policy = answer(of_area, batch, process.memory);
    if (policy != answer(own, batch, process.memory)) memory.policies.push_back({start, area->second->end, policy});
  }
}

}  // namespace drover
