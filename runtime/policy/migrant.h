// Which running job a node gives, and whether any. The same rule for all policies.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "runtime/policy/policy.h"
#include "runtime/policy/view.h"

namespace drover {

struct Candidate {
  std::int64_t job = 0;
  double age_seconds = 0;   // what it has been given so far, in seconds of a reference PU
  double here_seconds = 0;  // since it came to this node
  std::uint64_t resident_kib = 0;
  std::uint64_t swapped_kib = 0;     // on top; needs memory at the destination as well
  std::uint64_t unsent_kib = 0;      // of what is resident: pages of files as they are on disk, and those of zeros
  int files = 0, connections = 0;    // open ones
  double more_bytes_per_second = 0;  // of its streams, that the link would have to carry after the move
  bool movable = true;               // nothing pins it, and the other node has the instructions that it uses
  bool started = true;               // else moving costs a message
  bool moved = false;                // it was running elsewhere before
};

// How it moves. Other methods follow; the decision names one so that they fit in.
enum class Method : std::uint8_t { StopAndCopy };
std::string_view method_name(Method);  // "stop-and-copy"

struct Choice {
  std::int64_t job = 0;
  double cost_seconds = 0;
  double needed_age_seconds = 0;
  Method method = Method::StopAndCopy;
};

// What a move takes from the job: the time for which it is frozen.
double migration_cost(const Candidate& candidate, const MigrationRule& rule);

// The job whose expected remaining life pays best for its move, or none.
//
// The median remaining life of a job equals its age where P[life > t] ~ 1/t (Harchol-Balter and Downey 1997), so a job
// moves when
//
//     age > safety * cost / gain,   gain = (delay_added(source) - delay_added(destination with it)) / 2
//
// On nodes of one PU and equal speed the gain is n_source - n_destination, both counts with the migrant, as theirs is.
// On others it counts what all jobs of both nodes gain, not the migrant alone: a job that leaves a slow node of its own
// for a share of a fast one gains what another loses. Of those that may go the one with the greatest age for its cost
// does: never the youngest because it is cheap.
//
// The place that a job moves to is lost to others while it is frozen. Where jobs arrive all the time a free place is
// soon taken anyway, by a job that need not be frozen: the move must be done in a part of the time for which free
// places stay free (MigrationRule::most_of_idle_time); slower ones count for as much as they are worth beside it. And a
// job that shares its PU with nobody gains only by a faster one; such a place is left to those who arrive while there
// are not enough of them (room_seconds).
std::optional<Choice> choose_migrant(std::span<const Candidate> candidates, const NodeView& source,
                                     const NodeView& destination, std::span<const NodeView> table,
                                     const MigrationRule& rule);

}  // namespace drover
