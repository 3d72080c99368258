#include "runtime/policy/place.h"

#include <algorithm>
#include <limits>

#include "runtime/policy/sampling.h"

namespace drover {

namespace {

// Of one who is only to tell what it is like.
constexpr Terms kNever{false, std::numeric_limits<double>::infinity()};

bool open_to_others(const NodeView& node) { return node.usable && node.accepts; }

std::vector<Ask> sample_open(std::span<const NodeView> table, int self, int count, const Terms& terms, Random& random) {
  std::vector<Ask> asks;
  for (const int rank : sample_ranks(static_cast<int>(table.size()), self, count, random,
                                     [&](int other) { return open_to_others(table[static_cast<std::size_t>(other)]); }))
    asks.push_back({rank, terms});
  return asks;
}

// Of all the nodes, this one among them unless it drains, as the table has them.
Placement best_of(int choices, int self, const NodeView& own, std::span<const NodeView> table, Random& random) {
  const int left_out = own.draining ? self : -1;
  const auto ranks = sample_ranks(static_cast<int>(table.size()), left_out, choices, random, [&](int rank) {
    return rank == self || open_to_others(table[static_cast<std::size_t>(rank)]);
  });
  int best = self;
  double best_value = -1;
  for (const int rank : ranks) {
    const double there = place_value(table[static_cast<std::size_t>(rank)]);
    if (there > best_value) best = rank, best_value = there;
  }
  if (best == self) return {};
  return {{{best, {}}}, false};
}

// The best places of the table, those that are alike in random order.
std::vector<Ask> most_promising(std::span<const NodeView> table, int self, double more_than, int count,
                                Random& random) {
  struct Promise {
    double value;
    std::uint64_t order;
    int rank;
  };
  std::vector<Promise> promises;
  for (int rank = 0; rank < static_cast<int>(table.size()); ++rank) {
    const NodeView& node = table[static_cast<std::size_t>(rank)];
    if (rank == self || !open_to_others(node)) continue;
    const double there = place_value(node);
    if (there > more_than) promises.push_back({there, random(), rank});
  }
  const auto enough = std::min(promises.size(), static_cast<std::size_t>(std::max(count, 0)));
  std::partial_sort(
      promises.begin(), promises.begin() + static_cast<std::ptrdiff_t>(enough), promises.end(),
      [](const Promise& a, const Promise& b) { return a.value != b.value ? a.value > b.value : a.order < b.order; });
  std::vector<Ask> asks;
  for (std::size_t i = 0; i < enough; ++i) {
    constexpr double kRounding = 1 - 1e-6;
    asks.push_back({promises[i].rank, {false, promises[i].value * kRounding}});
  }
  return asks;
}

// Each must keep what the table promises; if none does, they have told what they are like now.
Placement confirmed(const PolicySettings& settings, int self, const NodeView& own, std::span<const NodeView> table,
                    Random& random) {
  constexpr double kNoise = 1.1;  // measured loads are never quite alike
  const double here = own.draining ? 0 : kNoise * place_value(own);
  return {most_promising(table, self, here, settings.probe_limit, random), true};
}

}  // namespace

bool admits(const NodeView& now, const Terms& terms) {
  if (!now.accepts) return false;
  if (terms.only_if_free && now.state != NodeState::Free) return false;
  return place_value(now) > terms.more_than;
}

Placement place(const PolicySettings& settings, int self, const NodeView& own, std::span<const NodeView> table,
                std::uint64_t seed) {
  Random random(seed);
  switch (settings.policy.placing) {
    case Placing::Here:
      return own.draining ? confirmed(settings, self, own, table, random) : Placement{};
    case Placing::Random:
      return best_of(1, self, own, table, random);
    case Placing::BestOf:
      return best_of(settings.choices, self, own, table, random);
    case Placing::Threshold:
      if (own.state != NodeState::Busy && !own.draining) return {};
      return {sample_open(table, self, settings.probe_limit, {true, 0}, random), own.draining};
    case Placing::Shortest:
      if (own.state != NodeState::Busy && !own.draining) return {};
      return {sample_open(table, self, settings.probe_limit, kNever, random), true};
    case Placing::Confirmed:
      return confirmed(settings, self, own, table, random);
  }
  return {};
}

std::optional<int> choose_answer(const NodeView& own, std::span<const Answer> answers) {
  std::optional<int> best;
  double best_value = own.draining ? 0 : place_value(own);
  for (const Answer& answer : answers) {
    const double there = place_value(answer.now);
    if (!answer.now.accepts || there <= best_value) continue;
    best = answer.rank;
    best_value = there;
  }
  return best;
}

}  // namespace drover
