#include "runtime/policy/pull.h"

#include <algorithm>
#include <tuple>

#include "runtime/policy/sampling.h"

namespace drover {

namespace {

// Where a thread less is worth most, and more than one more costs here.
std::vector<int> most_crowded(std::span<const NodeView> table, int self, const NodeView& own, int count,
                              Random& random) {
  struct Giver {
    double delay;
    std::uint64_t order;
    int rank;
  };
  const double here = delay_added(own, own.load + 1);
  std::vector<Giver> givers;
  for (int rank = 0; rank < static_cast<int>(table.size()); ++rank) {
    const NodeView& node = table[static_cast<std::size_t>(rank)];
    if (rank == self || !node.usable || node.movable == 0) continue;
    const double there = delay_added(node, node.load);
    if (there > here) givers.push_back({there, random(), rank});
  }
  const auto enough = std::min(givers.size(), static_cast<std::size_t>(std::max(count, 0)));
  std::partial_sort(
      givers.begin(), givers.begin() + static_cast<std::ptrdiff_t>(enough), givers.end(),
      [](const Giver& a, const Giver& b) { return std::tie(b.delay, a.order) < std::tie(a.delay, b.order); });
  std::vector<int> ranks;
  for (std::size_t i = 0; i < enough; ++i) ranks.push_back(givers[i].rank);
  return ranks;
}

}  // namespace

std::vector<int> choose_givers(const PolicySettings& settings, int self, const NodeView& own,
                               std::span<const NodeView> table, std::uint64_t seed) {
  if (!settings.migrate || own.state != NodeState::Free || !own.accepts) return {};
  Random random(seed);
  switch (settings.policy.pulling) {
    case Pulling::No:
      return {};
    case Pulling::Random:
      return sample_ranks(static_cast<int>(table.size()), self, settings.probe_limit, random,
                          [&](int rank) { return table[static_cast<std::size_t>(rank)].usable; });
    case Pulling::Worst:
      return most_crowded(table, self, own, settings.probe_limit, random);
  }
  return {};
}

}  // namespace drover
