// Pairs of senders and receivers from the shared table. Everyone computes the same pairs from the same table, without a
// word: the senders then offer, and the receivers confirm by reserving, since the table is old.
#pragma once

#include <span>
#include <vector>

#include "runtime/policy/policy.h"
#include "runtime/policy/view.h"

namespace drover {

struct Pair {
  int sender = 0, receiver = 0;
  bool operator==(const Pair&) const = default;
};

// The node that gains most by giving a job is matched with the one that loses least by taking it, and so on while both
// together gain. Each node is in one pair at most. Nodes that are to be left (NodeView::leaving) come
// first; under policies without pairing only they are matched.
std::vector<Pair> pair_up(const PolicySettings& settings, std::span<const NodeView> table);

// The nodes that take jobs, the one first that loses least by one more: where those of a node go that drains, whatever
// that costs them.
std::vector<int> list_refuges(std::span<const NodeView> table);

}  // namespace drover
