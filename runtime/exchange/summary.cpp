#include "runtime/exchange/summary.h"

#include <algorithm>

namespace drover {

std::array<std::uint64_t, kMaxGroupMembers / 64> to_words(const AliveSet& alive) {
  std::array<std::uint64_t, kMaxGroupMembers / 64> words{};
  for (std::size_t i = 0; i < alive.size(); ++i)
    if (alive[i]) words[i / 64] |= std::uint64_t{1} << (i % 64);
  return words;
}

AliveSet from_words(const std::array<std::uint64_t, kMaxGroupMembers / 64>& words) {
  AliveSet alive;
  for (std::size_t i = 0; i < alive.size(); ++i) alive[i] = (words[i / 64] >> (i % 64) & 1U) != 0;
  return alive;
}

GroupSummary summarize(const GroupLayout& layout, int leader, std::span<const LoadEntry> table,
                       const std::vector<bool>& usable, std::uint64_t now_ns, std::uint64_t realtime_ns) {
  GroupSummary summary;
  const int group = layout.group_of(leader);
  summary.group = group;
  summary.leader = leader;
  summary.taken_ns = realtime_ns;
  const auto members =
      table.subspan(static_cast<std::size_t>(layout.first(group)), static_cast<std::size_t>(layout.count(group)));
  std::vector<NodeView> views;
  for (std::size_t i = 0; i < members.size(); ++i) views.push_back(view_of(members[i].sample, usable[i]));
  summary.sums = sum_up(views);
  auto slot = summary.notable.begin();
  for (const int index : choose_notable(views, realtime_ns)) {
    const LoadEntry& entry = members[static_cast<std::size_t>(index)];
    slot->rank = layout.first(group) + index;
    slot->age_ms =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(age_at(now_ns, entry.received_ns) / 1'000'000, UINT32_MAX));
    slot->sample = entry.sample;
    ++slot;
  }
  return summary;
}

bool well_formed(const GroupSummary& summary, const GroupLayout& layout, int group) {
  if (summary.version != kGroupSummaryVersion || summary.group != group) return false;
  if (summary.leader < layout.first(group) || summary.leader >= layout.end(group)) return false;
  std::vector<int> ranks;
  for (const NotableNode& node : summary.notable)
    if (node.rank != -1) ranks.push_back(node.rank);
  std::sort(ranks.begin(), ranks.end());
  const bool once = std::adjacent_find(ranks.begin(), ranks.end()) == ranks.end();
  return once && (ranks.empty() || (ranks.front() >= layout.first(group) && ranks.back() < layout.end(group)));
}

}  // namespace drover
