// The communicators of a view: one for all its members, or, on two levels, those of a group and of the leaders.
#pragma once

#include <mpi.h>

#include <vector>

#include "runtime/mpi/world.h"
#include "runtime/policy/groups.h"

namespace drover {

// Null where this rank has no part in it. Not freed after a loss: that is collective with someone who is not there.
struct ViewComms {
  MPI_Comm round = MPI_COMM_NULL;    // vectors: of the group's members in the view; on one level of all
  MPI_Comm spread = MPI_COMM_NULL;   // summaries from the leader to its group: rank 0 of it leads
  MPI_Comm leaders = MPI_COMM_NULL;  // summaries among leaders
};

// World ranks of the view that belong to `group`, ascending; the first leads.
std::vector<int> members_of_group(const GroupLayout& layout, const std::vector<int>& view, int group);
// World ranks of the leaders, ascending.
std::vector<int> leaders_of(const GroupLayout& layout, const std::vector<int>& view);

// Blocks until all of the view take part. `number` tells this view from those that are made at the same time. Throws
// MpiError.
ViewComms make_view_comms(MPI_Comm world, int self, const GroupLayout& layout, const std::vector<int>& view,
                          std::uint64_t number);

}  // namespace drover
