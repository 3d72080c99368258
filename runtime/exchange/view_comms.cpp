#include "runtime/exchange/view_comms.h"

#include <algorithm>

namespace drover {

namespace {

// Collective of `ranks` alone.
MPI_Comm make(MPI_Comm world, const std::vector<int>& ranks, int tag) {
  MPI_Group everyone = MPI_GROUP_NULL, group = MPI_GROUP_NULL;
  mpi::check(MPI_Comm_group(world, &everyone), "MPI_Comm_group");
  mpi::check(MPI_Group_incl(everyone, static_cast<int>(ranks.size()), ranks.data(), &group), "MPI_Group_incl");
  MPI_Comm comm = MPI_COMM_NULL;
  const int code = MPI_Comm_create_group(world, group, tag, &comm);
  MPI_Group_free(&group);
  MPI_Group_free(&everyone);
  mpi::check(code, "MPI_Comm_create_group");
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  return comm;
}

}  // namespace

std::vector<int> members_of_group(const GroupLayout& layout, const std::vector<int>& view, int group) {
  std::vector<int> members;
  std::copy_if(view.begin(), view.end(), std::back_inserter(members),
               [&](int rank) { return layout.group_of(rank) == group; });
  return members;
}

std::vector<int> leaders_of(const GroupLayout& layout, const std::vector<int>& view) {
  std::vector<int> leaders;
  int last = -1;
  for (const int rank : view)
    if (layout.group_of(rank) != last) leaders.push_back(rank), last = layout.group_of(rank);
  return leaders;
}

ViewComms make_view_comms(MPI_Comm world, int self, const GroupLayout& layout, const std::vector<int>& view,
                          std::uint64_t number) {
  // Three at most for a view; communicators of disjoint groups may share a tag.
  const int tag = static_cast<int>(number % 10'000) * 3;
  ViewComms comms;
  const auto members = layout.two_level() ? members_of_group(layout, view, layout.group_of(self)) : view;
  comms.round = make(world, members, tag);
  if (!layout.two_level()) return comms;
  comms.spread = make(world, members, tag + 1);
  if (members.front() == self) comms.leaders = make(world, leaders_of(layout, view), tag + 2);
  return comms;
}

}  // namespace drover
