#include "runtime/policy/placement.h"

#include <algorithm>

namespace drover {

NodeState expected_state(const LoadSample& sample, const Watermarks& watermarks, int unseen_jobs) {
  LoadSample expected = sample;
  const float capacity = std::max(sample.capacity, 0.01F);
  const auto add = [&](Factor factor, float amount, float most) {
    const auto i = static_cast<std::size_t>(factor);
    expected.factors[i] = std::min(expected.factors[i] + amount, most);
    expected.known = static_cast<std::uint16_t>(expected.known | (1U << i));
  };
  if (unseen_jobs > 0) {
    const float threads = static_cast<float>(unseen_jobs) / capacity;
    add(Factor::RunQueue, threads, 1e9F);
    add(Factor::CpuShare, threads, 1.0F);
  }
  return classify(expected, watermarks);
}

std::vector<int> choose_probes(std::span<const NodeView> table, int self, int probe_limit, std::mt19937_64& random) {
  std::vector<int> ranks;
  for (std::size_t rank = 0; rank < table.size(); ++rank)
    if (static_cast<int>(rank) != self && table[rank].usable && table[rank].sample.draining == 0)
      ranks.push_back(static_cast<int>(rank));
  std::shuffle(ranks.begin(), ranks.end(), random);
  ranks.resize(std::min(ranks.size(), static_cast<std::size_t>(std::max(probe_limit, 0))));
  return ranks;
}

}  // namespace drover
