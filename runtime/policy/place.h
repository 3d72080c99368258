// Sender-initiated, non-preemptive balancing: where does a newly arrived job start, and who is asked first?
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/policy/policy.h"
#include "runtime/policy/view.h"

namespace drover {

// What the asked node must fulfil at the moment when it is asked: tables are old, and old tables make herds
// (Mitzenmacher 2000).
struct Terms {
  bool only_if_free = false;
  double more_than = 0;  // place_value() must be
  Need need = {};
  bool by_name = false;  // a person has chosen this node: only what is needed counts, and that it doesn't drain
  template <class A>
  void serialize(A& a, unsigned) {
    a& only_if_free& more_than& need& by_name;
  }
};
// Pure; the answer of a node that is `now` like this.
bool admits(const NodeView& now, const Terms& terms);

struct Ask {
  int rank = 0;
  Terms terms;
};

struct Placement {
  std::vector<Ask> ask;      // in this order, until one admits it; empty: it starts here, if it may
  bool best_answer = false;  // if nobody has: the best of those who answered, if it is better than here
};

// May it start where it has arrived?
inline bool may_start_here(const NodeView& own, const Need& need) { return !own.draining && fits(own, need); }

// Where a job that arrived at `self` may start. `table[rank]` is what is known of each node, corrected by what this
// node has sent there since; `own` is this node at this moment. If nobody takes it, it starts here, or waits if it may
// not. At a node that drains any place is better than here, also for policies that else start everything where it
// arrives; at one that has too little left, for those that do not.
Placement place(const PolicySettings& settings, int self, const NodeView& own, std::span<const NodeView> table,
                std::uint64_t seed, const Need& need = {});

struct Answer {
  int rank = 0;
  NodeView now;
};
// The best place; empty: here.
std::optional<int> choose_answer(const NodeView& own, std::span<const Answer> answers, const Need& need = {});

}  // namespace drover
