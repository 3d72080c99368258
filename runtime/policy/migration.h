// Receiver-initiated, preemptive balancing: whom a FREE node asks, and which running job a BUSY one gives. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "runtime/policy/placement.h"

namespace drover {

// BUSY nodes that a FREE one may ask, in random order, at most `probe_limit`.
std::vector<int> choose_busy(std::span<const NodeView> table, int self, int probe_limit, std::mt19937_64& random);

struct Candidate {
  std::int64_t job = 0;
  double age_seconds = 0;   // since it started, wherever it was
  double here_seconds = 0;  // since it came to this node
  std::uint64_t resident_kib = 0;
  bool movable = true;  // nothing pins it
};

struct MigrationRule {
  double safety = 2;                 // age must be this many times what moving pays back
  double min_residence_seconds = 2;  // a job that has just come stays
  double bytes_per_second = 1e9;     // of the link, measured, else this guess
  double fixed_cost_seconds = 0.05;  // freeze, handshakes, commit
};

struct NodeCount {
  int jobs = 0;
  double capacity = 1;  // PUs
};

struct Choice {
  std::int64_t job = 0;
  double cost_seconds = 0;
  double needed_age_seconds = 0;
};

// The job whose expected remaining life pays best for its move, or none. The median remaining life of a job equals its
// age where P[life > t] ~ 1/t (Harchol-Balter and Downey 1997), so a job moves when
//     age > safety * cost / (n_source - n_destination),
// n being the jobs a PU has on each side, both with the migrant. Of those that may, the one with the greatest age for
// its cost goes: never the youngest because it is cheap.
std::optional<Choice> choose_migrant(std::span<const Candidate> candidates, const NodeCount& source,
                                     const NodeCount& destination, std::uint64_t destination_memory_kib,
                                     const MigrationRule& rule);

}  // namespace drover
