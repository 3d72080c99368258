// What a group of nodes tells the others of itself when all its vectors would be too many: sums, and which of its nodes
// are worth knowing one by one. Pure, the same for droverd and the simulator.
//
// Policies look for two kinds of nodes: the best places (place.h, pair_up.h) and the most crowded ones (pull.h). A node
// in between is never chosen while better ones are known, so the vectors of a few of each kind serve as well as all,
// and what is lost is only how many more there are like them: the sums tell that.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/policy/view.h"

namespace drover {

inline constexpr int kNotableNodes = 8;      // of a group whose vectors others get
inline constexpr int kNotableReceivers = 6;  // of these, the best places; the rest are the most crowded nodes

// Trivially copyable; part of what leaders exchange (exchange/summary.h).
struct GroupSums {
  std::int32_t members = 0;  // usable ones; the other figures count only these
  std::int32_t free = 0;     // FREE, and take jobs of other nodes
  std::int32_t busy = 0;
  std::int32_t jobs = 0, movable = 0;
  float capacity = 0;             // PUs
  float load = 0;                 // runnable threads
  float arrivals_per_second = 0;  // of jobs
};

GroupSums sum_up(std::span<const NodeView> group);

// Up to kNotableNodes distinct indices into `group`, of usable nodes: the best places first, then the nodes that are to
// be left and the most crowded ones, then the next best places. Nodes that are alike are listed in an order that `seed`
// changes: others choose among what is listed, and the same few would get all of it.
std::vector<int> choose_notable(std::span<const NodeView> group, std::uint64_t seed);

// Readies the listed nodes of another group for a table of which the rest of that group is missing. Arrivals at the
// whole group are counted at them, in the proportion in which its free places are listed: so arrivals over free places,
// which decides whether a move pays (migrant.h), is as if all were known. And their free places count for a little
// less: what is known of them is old, so of places that look alike those of the own group are asked first. (At 1024
// nodes under load 0.9 the mean slowdown is 1.03 with this and 1.16 without.)
void stand_for_group(std::span<NodeView> listed, const GroupSums& sums);

}  // namespace drover
