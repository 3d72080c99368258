// The two levels of sharing among many nodes: who belongs to which group. Pure, the same for droverd and the simulator.
//
// Groups are blocks of neighbouring ranks of the world, about sqrt(p) of them with about sqrt(p) ranks each, so that a
// round costs a node sqrt(p) on both levels. They follow from the world's size and not from who is in it at the moment:
// a lost rank leaves its group and shifts nobody to another, and a rank that comes back finds the same neighbours.
// Ranks of one host are mostly neighbours, so most of a group's messages stay near.
#pragma once

namespace drover {

inline constexpr int kDefaultTwoLevelAbove = 256;
// A group's members are told as one bit each (exchange/group_watch.h).
inline constexpr int kMaxGroupMembers = 512;

struct GroupLayout {
  int size = 1;    // ranks of the world
  int groups = 1;  // 1: everybody shares with everybody

  bool two_level() const { return groups > 1; }
  int group_of(int rank) const { return static_cast<int>(((static_cast<long long>(rank) + 1) * groups - 1) / size); }
  int first(int group) const { return static_cast<int>(static_cast<long long>(group) * size / groups); }
  int end(int group) const { return first(group + 1); }  // one past its last rank
  int count(int group) const { return end(group) - first(group); }
};

// One group for up to `two_level_above` nodes, else about sqrt(size) groups whose sizes differ by one at most.
GroupLayout lay_out_groups(int size, int two_level_above);

}  // namespace drover
