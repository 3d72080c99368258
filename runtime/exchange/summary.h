// What leaders tell each other of their groups, as it travels: sums and the complete vectors of a few notable nodes.
//
// Ages are durations and not moments, because clocks of hosts differ: each who sends a summary on says how old it is by
// then, so that only the way itself is not counted.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "runtime/exchange/load_table.h"
#include "runtime/policy/groups.h"
#include "runtime/policy/notable.h"

namespace drover {

inline constexpr std::uint16_t kGroupSummaryVersion = 1;

struct NotableNode {
  std::int32_t rank = -1;    // of the world; -1: nothing here
  std::uint32_t age_ms = 0;  // of the sample when the summary was made
  LoadSample sample;
};

// Fixed size, trivially copyable: an MPI_Iallgather moves one per leader, an MPI_Ibcast one per group.
struct GroupSummary {
  std::uint16_t version = kGroupSummaryVersion;
  std::uint16_t reserved = 0;
  std::int32_t group = -1;  // -1: nothing here
  std::int32_t leader = -1;
  std::int32_t reserved_too = 0;
  std::uint64_t taken_ns = 0;  // CLOCK_REALTIME of the leader: orders what one leader says
  std::uint64_t age_ns = 0;    // when it was sent on
  GroupSums sums;
  std::array<NotableNode, kNotableNodes> notable;
};
static_assert(std::is_trivially_copyable_v<GroupSummary>);

// A leader's heartbeat: its summary, and which members of its group it hears, by index in the group.
struct LeaderBeat {
  GroupSummary summary;
  std::array<std::uint64_t, kMaxGroupMembers / 64> alive{};
};
// With the doorbell's header it must fit a datagram that no Ethernet cuts.
static_assert(std::is_trivially_copyable_v<LeaderBeat> && sizeof(LeaderBeat) <= 1400);

using AliveSet = std::bitset<kMaxGroupMembers>;
std::array<std::uint64_t, kMaxGroupMembers / 64> to_words(const AliveSet& alive);
AliveSet from_words(const std::array<std::uint64_t, kMaxGroupMembers / 64>& words);

// `table` is the leader's, by rank; `usable[i]` tells whether the i-th rank of its group counts.
GroupSummary summarize(const GroupLayout& layout, int leader, std::span<const LoadEntry> table,
                       const std::vector<bool>& usable, std::uint64_t now_ns, std::uint64_t realtime_ns);

// Whether it can be believed at all: a summary of that group which names only ranks of it, each once at most.
bool well_formed(const GroupSummary& summary, const GroupLayout& layout, int group);

}  // namespace drover
