#include "runtime/policy/pair_up.h"

#include <algorithm>
#include <limits>

namespace drover {

namespace {

struct Standing {
  double delay;  // delay_added(): of the thread that would go, of the one that would come
  int rank;
};

constexpr double kMustGo = std::numeric_limits<double>::infinity();

std::vector<Standing> list_senders(std::span<const NodeView> table, bool only_leaving) {
  std::vector<Standing> senders;
  for (int rank = 0; rank < static_cast<int>(table.size()); ++rank) {
    const NodeView& node = table[static_cast<std::size_t>(rank)];
    if (node.usable && node.movable > 0 && (node.leaving || !only_leaving))
      senders.push_back({node.leaving ? kMustGo : delay_added(node, node.load), rank});
  }
  std::sort(senders.begin(), senders.end(), [](const Standing& a, const Standing& b) {
    return a.delay != b.delay ? a.delay > b.delay : a.rank < b.rank;
  });
  return senders;
}

std::vector<Standing> list_receivers(std::span<const NodeView> table) {
  std::vector<Standing> receivers;
  for (int rank = 0; rank < static_cast<int>(table.size()); ++rank) {
    const NodeView& node = table[static_cast<std::size_t>(rank)];
    if (node.usable && node.accepts) receivers.push_back({delay_added(node, node.load + 1), rank});
  }
  std::sort(receivers.begin(), receivers.end(), [](const Standing& a, const Standing& b) {
    return a.delay != b.delay ? a.delay < b.delay : a.rank < b.rank;
  });
  return receivers;
}

}  // namespace

std::vector<Pair> pair_up(const PolicySettings& settings, std::span<const NodeView> table) {
  if (!settings.migrate) return {};
  const auto senders = list_senders(table, !settings.policy.pairing), receivers = list_receivers(table);
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < std::min(senders.size(), receivers.size()); ++i) {
    // Both lists are sorted, so nobody behind gains either; and no node is both a sender and a receiver before this.
    if (senders[i].delay <= receivers[i].delay) break;
    pairs.push_back({senders[i].rank, receivers[i].rank});
  }
  return pairs;
}

std::vector<int> list_refuges(std::span<const NodeView> table) {
  std::vector<int> ranks;
  for (const Standing& receiver : list_receivers(table)) ranks.push_back(receiver.rank);
  return ranks;
}

}  // namespace drover
