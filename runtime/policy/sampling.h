// Distinct nodes at random.
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "runtime/policy/random.h"
#include "runtime/policy/view.h"

namespace drover {

// Up to `count` distinct ranks other than `self` for which `wanted(rank)` holds, in random order, all of them equally
// likely. Few tries while most nodes are wanted, whatever their number.
template <class Wanted>
std::vector<int> sample_ranks(int size, int self, int count, Random& random, Wanted wanted) {
  std::vector<int> ranks;
  const auto take = [&](int rank) {
    if (rank == self || !wanted(rank) || std::find(ranks.begin(), ranks.end(), rank) != ranks.end()) return;
    ranks.push_back(rank);
  };
  const auto enough = static_cast<std::size_t>(std::max(count, 0));
  if (size / 8 > count) {
    for (int tries = 0; tries < 8 * count && ranks.size() < enough; ++tries)
      take(static_cast<int>(random.below(static_cast<std::uint64_t>(size))));
    if (ranks.size() == enough) return ranks;
  }
  std::vector<int> rest(static_cast<std::size_t>(std::max(size, 0)));
  std::iota(rest.begin(), rest.end(), 0);
  while (!rest.empty() && ranks.size() < enough) {
    const auto at = random.below(rest.size());
    take(rest[at]);
    rest[at] = rest.back();
    rest.pop_back();
  }
  return ranks;
}

}  // namespace drover
