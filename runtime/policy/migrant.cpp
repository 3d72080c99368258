#include "runtime/policy/migrant.h"

#include <algorithm>
#include <limits>

namespace drover {

std::string_view method_name(Method) { return "stop-and-copy"; }

double migration_cost(const Candidate& candidate, const MigrationRule& rule) {
  const std::uint64_t unsent = std::min(candidate.resident_kib, candidate.unsent_kib);
  const double kib = static_cast<double>(candidate.resident_kib - unsent + candidate.swapped_kib);
  return rule.fixed_cost_seconds + kib * 1024.0 / std::max(rule.bytes_per_second, 1.0) +
         candidate.files * rule.seconds_per_file + candidate.connections * rule.seconds_per_connection;
}

namespace {

// Is the destination's place one that arrivals would leave free for long enough? They would take another instead; a
// slower one is only as good as its speed.
class Room {
 public:
  Room(std::span<const NodeView> table, const NodeView& source, const NodeView& destination, const MigrationRule& rule)
      : rule_(rule), shared_(source.load > source.capacity) {
    for (const NodeView& node : table) {
      if (!node.usable) continue;
      arrivals_ += node.arrivals_per_second;
      if (node.state != NodeState::Free || !node.accepts) continue;
      const double worth = std::min(1.0, node.speed / destination.speed);
      if (shared_ || worth == 1) places_ += worth;
    }
  }
  bool is_there(double cost) const {
    const double seconds = cost / rule_.most_of_idle_time;
    if (shared_) return arrivals_ * seconds <= places_ + 1;
    return arrivals_ * (seconds + rule_.room_seconds) <= places_;
  }

 private:
  const MigrationRule& rule_;
  bool shared_;  // by more threads than the source can run at a time
  double arrivals_ = 0, places_ = 0;
};

}  // namespace

static bool fits(const Candidate& candidate, const NodeView& destination) {
  return destination.memory_available_kib == 0 ||
         candidate.resident_kib + candidate.swapped_kib <= destination.memory_available_kib;
}

// Its streams go over the link as long as it lives, and a full link slows it and others.
static bool streams_fit(const Candidate& candidate, const MigrationRule& rule) {
  return candidate.more_bytes_per_second <= rule.most_of_link * rule.bytes_per_second;
}

// What the gain goes up and down by because the measured loads of the two nodes do. That comes from jobs that share:
// one of its own gets what it gets.
static double noise(const NodeView& source, const NodeView& destination, const MigrationRule& rule) {
  const auto per_thread = [](const NodeView& node) { return 1 / (node.capacity * node.speed); };
  return rule.least_gain *
         std::max(source.jobs > 1 ? per_thread(source) : 0, destination.jobs > 0 ? per_thread(destination) : 0);
}

std::optional<Choice> choose_migrant(std::span<const Candidate> candidates, const NodeView& source,
                                     const NodeView& destination, std::span<const NodeView> table,
                                     const MigrationRule& rule) {
  const double gain = (delay_added(source, source.load) - delay_added(destination, destination.load + 1)) / 2;
  if (!source.leaving && gain < noise(source, destination, rule)) return std::nullopt;
  std::optional<Choice> best;
  std::optional<Room> room;  // looked at only for a job that might go: it takes all the table
  double best_ratio = 0;
  for (const Candidate& candidate : candidates) {
    if (!candidate.movable || !fits(candidate, destination)) continue;
    const double cost = candidate.started ? migration_cost(candidate, rule) : 0;
    const double residence = std::max(rule.min_residence_seconds, rule.safety * cost);
    if (!source.leaving && candidate.moved && candidate.here_seconds < residence) continue;
    const double needed = source.leaving ? 0 : rule.safety * cost / gain;
    if (candidate.age_seconds < needed) continue;
    const double ratio = (candidate.age_seconds + 1e-9) / (cost + 1e-9);
    if (best && ratio <= best_ratio) continue;
    if (!source.leaving && !streams_fit(candidate, rule)) continue;
    if (!source.leaving && !room) room.emplace(table, source, destination, rule);
    if (!source.leaving && !room->is_there(cost)) continue;
    best = Choice{candidate.job, cost, needed, Method::StopAndCopy};
    best_ratio = ratio;
  }
  return best;
}

}  // namespace drover
