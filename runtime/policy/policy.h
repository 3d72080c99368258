// The policies by name, and what can be set. A policy is made of three parts, each a pure function of what is known:
// where an arriving job starts (place.h), whom a FREE node asks for a running one (pull.h), and which pairs of nodes
// the shared table suggests (pair_up.h). Which job goes is the same for all (migrant.h).
//
// docs/policies.md has the formulas, their sources, and when to choose which.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace drover {

enum class Placing : std::uint8_t {
  Here,       // where it was submitted
  Random,     // anywhere
  Threshold,  // a BUSY node asks a few at random, the first FREE one takes it
  Shortest,   // a BUSY node asks a few at random, the best of them takes it
  BestOf,     // the best of `choices` random nodes of the table, not asked
  Confirmed,  // the best places of the table are asked: the first that still is what the table says takes it
};

enum class Pulling : std::uint8_t {
  No,
  Random,  // a few random nodes
  Worst,   // those of the table that gain most by giving one
};

struct Policy {
  std::string_view name;
  Placing placing = Placing::Here;
  Pulling pulling = Pulling::No;
  bool pairing = false;
  bool announces = false;  // a node tells the others at once when it turns FREE, or no longer is
  std::string_view summary;
};

std::span<const Policy> all_policies();
// Empty if there is none of that name.
std::optional<Policy> find_policy(std::string_view name);
inline constexpr std::string_view kDefaultPolicy = "balanced";

// When a running job pays for its move (migrant.h).
struct MigrationRule {
  double safety = 3;                       // times the age that would pay for the move on average
  double min_residence_seconds = 2;        // a job that has just come stays
  double bytes_per_second = 1e9;           // of the link, measured, else this guess
  double fixed_cost_seconds = 0.05;        // freeze, handshakes, commit
  double seconds_per_file = 60e-6;         // of an open file: looked at, sent, opened again
  double seconds_per_connection = 250e-6;  // of a socket
  double most_of_link = 0.1;               // for the streams of one job
  double least_gain = 0.3;         // in threads; less is within what measured loads go up and down by themselves
  double most_of_idle_time = 0.3;  // of the time for which a free place stays free a move may take so much
  double room_seconds = 5;         // faster places are left to so many seconds' arrivals
};

struct PolicySettings {
  Policy policy;
  int probe_limit = 3;  // nodes asked for one arrival, or by one FREE node
  int choices = 2;      // BestOf
  bool migrate = true;  // running jobs move at all
  MigrationRule rule;
};

}  // namespace drover
