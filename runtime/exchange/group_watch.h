// Who is alive, where heartbeats do not go from everybody to everybody: members of a group hear each other, and leaders
// tell each other whom of their groups they hear. Pure: the moments come from outside.
//
// The hard part is a leader that falls silent: nobody outside its group then knows who else of it is alive. So the next
// member that is alive takes over by itself once it has not heard any lower one for `suspect_ns`, the other leaders
// tell the whole group what they know when its leader has been silent for half of that (the successor needs it, and
// nobody outside knows who it is), and a group counts as alive, as it was last heard to be, for twice that time.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "runtime/exchange/summary.h"
#include "runtime/policy/groups.h"

namespace drover {

class GroupWatch {
 public:
  // Ranks and moments of CLOCK_MONOTONIC, in ns.
  GroupWatch(int self, const GroupLayout& layout, std::uint64_t suspect_ns);

  // A heartbeat of its own, or a message. Of another group's rank it tells nothing that counts here.
  void heard(int rank, std::uint64_t now_ns);
  // A leader's heartbeat. `members` are those of the present view: one that was excluded and does not know it yet is
  // not believed while another leader of its group is heard.
  void leader_heard(int from, const AliveSet& alive, const std::set<int>& members, std::uint64_t now_ns);
  // Several times a second. `stopped`: we were, so nobody's silence means anything.
  void tick(const std::set<int>& members, bool stopped, std::uint64_t now_ns);

  // Whether this rank leads its group now: no lower member of it is heard.
  bool leads(const std::set<int>& members, std::uint64_t now_ns) const;
  // Ascending; of all groups if this rank leads, else those that it can know of are as in the view.
  std::vector<std::int32_t> alive(const std::set<int>& members, std::uint64_t now_ns) const;
  // Of the own group, by index in it.
  AliveSet own_group(std::uint64_t now_ns) const;
  // Whom a leader sends its heartbeat: the other groups' leaders, whoever else has just led, all of a group whose
  // leader is silent.
  std::vector<int> leaders_to_tell(const std::set<int>& members, std::uint64_t now_ns) const;

 private:
  struct Group {
    AliveSet alive;  // as its leader said
    std::uint64_t heard_ns = 0;
    std::uint64_t member_heard_ns = 0;  // a leader that is in the view
  };
  bool hears(int rank, std::uint64_t now_ns) const;
  bool own(int rank) const { return layout_.group_of(rank) == own_; }

  int self_;
  GroupLayout layout_;
  int own_;  // group
  std::uint64_t suspect_ns_;
  std::vector<std::uint64_t> heard_ns_;  // by index in the own group
  std::vector<Group> groups_;
  std::vector<std::uint64_t> led_ns_;  // by rank: when it last spoke as a leader
};

}  // namespace drover
