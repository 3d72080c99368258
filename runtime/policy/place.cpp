#include "runtime/policy/place.h"

#include <algorithm>
#include <limits>

#include "runtime/policy/sampling.h"

namespace drover {

namespace {

// Of one who is only to tell what it is like.
constexpr Terms kNever{false, std::numeric_limits<double>::infinity(), {}, false};

// The node where the job has arrived, what that has left, and all others.
struct Arrival {
  int self;
  const NodeView& own;
  std::span<const NodeView> table;
  Need need;

  bool may_start_here() const { return drover::may_start_here(own, need); }
  const NodeView& at(int rank) const { return table[static_cast<std::size_t>(rank)]; }
  int ranks() const { return static_cast<int>(table.size()); }
  bool takes(const NodeView& node) const { return node.usable && node.accepts && fits(node, need); }
};

std::vector<Ask> sample_open(const Arrival& job, int count, const Terms& terms, Random& random) {
  std::vector<Ask> asks;
  for (const int rank :
       sample_ranks(job.ranks(), job.self, count, random, [&](int other) { return job.takes(job.at(other)); }))
    asks.push_back({rank, terms});
  return asks;
}

// Of all the nodes, this one among them if it may, as the table has them.
Placement best_of(int choices, const Arrival& job, Random& random) {
  const int left_out = job.may_start_here() ? -1 : job.self;
  const auto ranks = sample_ranks(job.ranks(), left_out, choices, random,
                                  [&](int rank) { return rank == job.self || job.takes(job.at(rank)); });
  int best = job.self;
  double best_value = -1;
  for (const int rank : ranks) {
    const double there = place_value(job.at(rank));
    if (there > best_value) best = rank, best_value = there;
  }
  if (best == job.self) return {};
  return {{{best, {}}}, false};
}

// The best places of the table, those that are alike in random order.
std::vector<Ask> most_promising(const Arrival& job, double more_than, int count, Random& random) {
  struct Promise {
    double value;
    std::uint64_t order;
    int rank;
  };
  std::vector<Promise> promises;
  for (int rank = 0; rank < job.ranks(); ++rank) {
    const NodeView& node = job.at(rank);
    if (rank == job.self || !job.takes(node)) continue;
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
Placement confirmed(const PolicySettings& settings, const Arrival& job, Random& random) {
  constexpr double kNoise = 1.1;  // measured loads are never quite alike
  const double here = job.may_start_here() ? kNoise * place_value(job.own) : 0;
  return {most_promising(job, here, settings.probe_limit, random), true};
}

Placement ask_by_policy(const PolicySettings& settings, const Arrival& job, std::uint64_t seed) {
  Random random(seed);
  switch (settings.policy.placing) {
    case Placing::Here:
      return job.own.draining ? confirmed(settings, job, random) : Placement{};
    case Placing::Random:
      return best_of(1, job, random);
    case Placing::BestOf:
      return best_of(settings.choices, job, random);
    case Placing::Threshold:
      if (job.own.state != NodeState::Busy && job.may_start_here()) return {};
      return {sample_open(job, settings.probe_limit, {true, 0}, random), !job.may_start_here()};
    case Placing::Shortest:
      if (job.own.state != NodeState::Busy && job.may_start_here()) return {};
      return {sample_open(job, settings.probe_limit, kNever, random), true};
    case Placing::Confirmed:
      return confirmed(settings, job, random);
  }
  return {};
}

}  // namespace

bool admits(const NodeView& now, const Terms& terms) {
  if (!fits(now, terms.need)) return false;
  if (terms.by_name) return !now.draining;
  if (!now.accepts) return false;
  if (terms.only_if_free && now.state != NodeState::Free) return false;
  return place_value(now) > terms.more_than;
}

Placement place(const PolicySettings& settings, int self, const NodeView& own, std::span<const NodeView> table,
                std::uint64_t seed, const Need& need) {
  Placement placement = ask_by_policy(settings, {self, own, table, need}, seed);
  for (Ask& ask : placement.ask) ask.terms.need = need;
  return placement;
}

std::optional<int> choose_answer(const NodeView& own, std::span<const Answer> answers, const Need& need) {
  std::optional<int> best;
  double best_value = may_start_here(own, need) ? place_value(own) : 0;
  for (const Answer& answer : answers) {
    const double there = place_value(answer.now);
    if (!answer.now.accepts || !fits(answer.now, need) || there <= best_value) continue;
    best = answer.rank;
    best_value = there;
  }
  return best;
}

}  // namespace drover
