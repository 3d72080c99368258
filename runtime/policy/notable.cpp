#include "runtime/policy/notable.h"

#include <algorithm>
#include <limits>

#include "runtime/policy/random.h"

namespace drover {

namespace {

bool is_free_place(const NodeView& node) { return node.state == NodeState::Free && node.accepts; }

struct Standing {
  double value;
  std::uint64_t order;
  int index;
};

void best_first(std::vector<Standing>& standings) {
  std::sort(standings.begin(), standings.end(), [](const Standing& a, const Standing& b) {
    return a.value != b.value ? a.value > b.value : a.order < b.order;
  });
}

}  // namespace

GroupSums sum_up(std::span<const NodeView> group) {
  GroupSums sums;
  for (const NodeView& node : group) {
    if (!node.usable) continue;
    ++sums.members;
    if (is_free_place(node)) ++sums.free;
    if (node.state == NodeState::Busy) ++sums.busy;
    sums.jobs += node.jobs;
    sums.movable += node.movable;
    sums.capacity += static_cast<float>(node.capacity);
    sums.load += static_cast<float>(node.load);
    sums.arrivals_per_second += static_cast<float>(node.arrivals_per_second);
  }
  return sums;
}

std::vector<int> choose_notable(std::span<const NodeView> group, std::uint64_t seed) {
  Random random(seed);
  std::vector<Standing> places, crowded;
  for (int i = 0; i < static_cast<int>(group.size()); ++i) {
    const NodeView& node = group[static_cast<std::size_t>(i)];
    if (!node.usable) continue;
    const std::uint64_t order = random();
    // One that takes nothing is no place, but is listed before nobody.
    places.push_back({node.accepts ? place_value(node) : 0, order, i});
    if (node.movable == 0) continue;
    constexpr double kMustGo = std::numeric_limits<double>::infinity();
    crowded.push_back({node.leaving ? kMustGo : delay_added(node, node.load), order, i});
  }
  best_first(places);
  best_first(crowded);
  std::vector<int> listed;
  const auto take = [&listed](const std::vector<Standing>& from, int until) {
    for (const Standing& one : from) {
      if (static_cast<int>(listed.size()) >= until) return;
      if (std::find(listed.begin(), listed.end(), one.index) == listed.end()) listed.push_back(one.index);
    }
  };
  take(places, kNotableReceivers);
  take(crowded, kNotableNodes);
  take(places, kNotableNodes);
  return listed;
}

void stand_for_group(std::span<NodeView> listed, const GroupSums& sums) {
  constexpr double kDoubt = 0.01;
  if (listed.empty()) return;
  const auto free = static_cast<double>(std::count_if(listed.begin(), listed.end(), is_free_place));
  const double share = sums.free > 0 ? std::min(1.0, free / sums.free) : 1.0;
  const double each = static_cast<double>(sums.arrivals_per_second) * share / static_cast<double>(listed.size());
  for (NodeView& node : listed) {
    node.arrivals_per_second = each;
    if (is_free_place(node)) node.load += kDoubt;
    node = sane(node);
  }
}

}  // namespace drover
