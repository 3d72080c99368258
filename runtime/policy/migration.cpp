#include "runtime/policy/migration.h"

#include <algorithm>

namespace drover {

std::vector<int> choose_busy(std::span<const NodeView> table, int self, int probe_limit, std::mt19937_64& random) {
  std::vector<int> ranks;
  for (std::size_t rank = 0; rank < table.size(); ++rank)
    if (static_cast<int>(rank) != self && table[rank].usable && table[rank].sample.state == NodeState::Busy &&
        table[rank].sample.movable_jobs > 0)
      ranks.push_back(static_cast<int>(rank));
  std::shuffle(ranks.begin(), ranks.end(), random);
  ranks.resize(std::min(ranks.size(), static_cast<std::size_t>(std::max(probe_limit, 0))));
  return ranks;
}

std::optional<Choice> choose_migrant(std::span<const Candidate> candidates, const NodeCount& source,
                                     const NodeCount& destination, std::uint64_t destination_memory_kib,
                                     const MigrationRule& rule) {
  const double at_source = source.jobs / std::max(source.capacity, 0.01);
  const double at_destination = (destination.jobs + 1) / std::max(destination.capacity, 0.01);
  const double gain = at_source - at_destination;
  if (gain <= 0) return std::nullopt;
  std::optional<Choice> best;
  double best_ratio = 0;
  for (const Candidate& candidate : candidates) {
    if (!candidate.movable || candidate.here_seconds < rule.min_residence_seconds) continue;
    if (destination_memory_kib != 0 && candidate.resident_kib > destination_memory_kib) continue;
    const double cost = rule.fixed_cost_seconds +
                        static_cast<double>(candidate.resident_kib) * 1024.0 / std::max(rule.bytes_per_second, 1.0);
    const double needed = rule.safety * cost / gain;
    if (candidate.age_seconds <= needed) continue;
    const double ratio = candidate.age_seconds / cost;
    if (best && ratio <= best_ratio) continue;
    best = Choice{candidate.job, cost, needed};
    best_ratio = ratio;
  }
  return best;
}

}  // namespace drover
