#include "runtime/exchange/group_watch.h"

#include <algorithm>

namespace drover {

GroupWatch::GroupWatch(int self, const GroupLayout& layout, std::uint64_t suspect_ns)
    : self_(self),
      layout_(layout),
      own_(layout.group_of(self)),
      suspect_ns_(suspect_ns),
      heard_ns_(static_cast<std::size_t>(layout.count(own_))),
      groups_(static_cast<std::size_t>(layout.groups)),
      led_ns_(static_cast<std::size_t>(layout.size)) {}

void GroupWatch::heard(int rank, std::uint64_t now_ns) {
  if (own(rank)) heard_ns_[static_cast<std::size_t>(rank - layout_.first(own_))] = now_ns;
}

void GroupWatch::leader_heard(int from, const AliveSet& alive, const std::set<int>& members, std::uint64_t now_ns) {
  led_ns_[static_cast<std::size_t>(from)] = now_ns;
  Group& group = groups_[static_cast<std::size_t>(layout_.group_of(from))];
  const bool member = members.count(from) != 0;
  if (!member && age_at(now_ns, group.member_heard_ns) < suspect_ns_) return;
  group = {alive, now_ns, member ? now_ns : group.member_heard_ns};
}

void GroupWatch::tick(const std::set<int>& members, bool stopped, std::uint64_t now_ns) {
  if (stopped)
    for (auto& heard : heard_ns_) heard = now_ns;
  // Who does not lead is told nothing of other groups: until it leads, they are what the view says.
  if (!stopped && leads(members, now_ns)) return;
  for (int g = 0; g < layout_.groups; ++g) {
    Group& group = groups_[static_cast<std::size_t>(g)];
    group = {{}, now_ns, now_ns};
    for (int rank = layout_.first(g); rank < layout_.end(g); ++rank)
      group.alive[static_cast<std::size_t>(rank - layout_.first(g))] = members.count(rank) != 0;
  }
}

bool GroupWatch::hears(int rank, std::uint64_t now_ns) const {
  return rank == self_ || age_at(now_ns, heard_ns_[static_cast<std::size_t>(rank - layout_.first(own_))]) < suspect_ns_;
}

bool GroupWatch::leads(const std::set<int>& members, std::uint64_t now_ns) const {
  for (int rank = layout_.first(own_); rank < self_; ++rank)
    if (members.count(rank) != 0 && hears(rank, now_ns)) return false;
  return true;
}

AliveSet GroupWatch::own_group(std::uint64_t now_ns) const {
  AliveSet alive;
  for (int rank = layout_.first(own_); rank < layout_.end(own_); ++rank)
    alive[static_cast<std::size_t>(rank - layout_.first(own_))] = hears(rank, now_ns);
  return alive;
}

std::vector<std::int32_t> GroupWatch::alive(const std::set<int>& members, std::uint64_t now_ns) const {
  std::vector<std::int32_t> all;
  const bool knows = leads(members, now_ns);
  for (int g = 0; g < layout_.groups; ++g) {
    const Group& group = groups_[static_cast<std::size_t>(g)];
    const bool silent = knows && g != own_ && age_at(now_ns, group.heard_ns) >= 2 * suspect_ns_;
    for (int rank = layout_.first(g); rank < layout_.end(g) && !silent; ++rank) {
      const bool there =
          g == own_ ? hears(rank, now_ns) : group.alive[static_cast<std::size_t>(rank - layout_.first(g))];
      if (there) all.push_back(rank);
    }
  }
  return all;
}

std::vector<int> GroupWatch::leaders_to_tell(const std::set<int>& members, std::uint64_t now_ns) const {
  std::vector<int> told;
  for (int g = 0; g < layout_.groups; ++g) {
    if (g == own_) continue;
    const Group& group = groups_[static_cast<std::size_t>(g)];
    const bool silent = age_at(now_ns, group.heard_ns) >= suspect_ns_ / 2;
    bool first = true;  // of its members that are alive: it leads
    for (int rank = layout_.first(g); rank < layout_.end(g); ++rank) {
      const auto index = static_cast<std::size_t>(rank - layout_.first(g));
      const bool leader = first && members.count(rank) != 0 && group.alive[index];
      const std::uint64_t led = led_ns_[static_cast<std::size_t>(rank)];
      if (leader) first = false;
      if (silent || leader || (led != 0 && age_at(now_ns, led) < suspect_ns_)) told.push_back(rank);
    }
  }
  return told;
}

}  // namespace drover
