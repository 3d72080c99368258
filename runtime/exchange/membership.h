// Who is in the world: views, agreed on in two phases by point-to-point messages, and a communicator for each, made on
// a helper thread because MPI_Comm_create_group blocks (and hangs with an absent member).
//
// The lowest rank that hears heartbeats proposes the set of those it hears; all of them promise; then it commits. A
// rank that was only stopped is heard again and comes back by the same way, in a later view. On two levels the lowest
// leader does so, and whom it does not hear itself it knows of from the other leaders (group_watch.h).
#pragma once

#include <mpi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ckpt/image/archive.h"
#include "runtime/control/loop.h"
#include "runtime/exchange/group_watch.h"
#include "runtime/exchange/view_comms.h"
#include "runtime/mpi/world.h"

namespace drover {

enum class ViewStep : std::uint8_t { Propose, Promise, Refuse, Commit };

struct ViewMessage {
  ViewStep step = ViewStep::Propose;
  std::uint64_t view = 0;
  std::vector<std::int32_t> members;  // world ranks, ascending
  template <class A>
  void serialize(A& a, unsigned) {
    a& step& view& members;
  }
};

class Membership {
 public:
  struct Actions {
    std::function<void(int to, const ViewMessage&)> send;
    // A new view: who left and who came back since the last one.
    std::function<void(const std::vector<int>& left, const std::vector<int>& returned)> changed;
    std::function<void(const ViewComms&, const std::vector<int>& members)> communicators;  // the view's, ready for use
    std::function<void()> no_communicator;
  };

  Membership(int self, const GroupLayout& layout, MPI_Comm world, Nanoseconds suspect_after, Actions actions);

  void heard(int rank, std::uint64_t now_ns);
  // On two levels: a leader's heartbeat told whom of its group it hears.
  void leader_heard(int from, const AliveSet& alive, std::uint64_t now_ns);
  void tick(std::uint64_t now_ns);  // several times a second
  void handle(int from, const ViewMessage& message, std::uint64_t now_ns);

  bool member(int rank) const { return members_.count(rank) != 0; }
  const std::set<int>& members() const { return members_; }
  bool anyone_ever_lost() const { return ever_lost_; }
  // On two levels, else null: who leads, and whom a leader's heartbeat must reach.
  const GroupWatch* watch() const { return watch_ ? &*watch_ : nullptr; }

 private:
  struct Proposal {
    std::uint64_t view;
    std::vector<std::int32_t> members;
    std::set<int> missing;  // promises
    std::uint64_t deadline_ns;
  };
  struct Making {                // shared with the helper thread, which may outlive us
    std::uint64_t since_ns = 0;  // first tick that saw it
    ViewComms comms;
    std::atomic<int> state{0};  // 0 running, 1 made, 2 failed
  };
  std::vector<std::int32_t> alive(std::uint64_t now_ns) const;
  void propose(const std::vector<std::int32_t>& alive, std::uint64_t now_ns);
  void install(const ViewMessage& commit);
  void poll_helper();

  int self_;
  GroupLayout layout_;
  MPI_Comm world_;
  std::uint64_t suspect_ns_;
  Actions actions_;
  std::vector<std::uint64_t> heard_ns_;  // on one level
  std::optional<GroupWatch> watch_;      // on two
  std::set<int> members_;
  std::uint64_t view_ = 0, promised_ = 0;
  std::vector<std::int32_t> view_members_;
  std::optional<Proposal> proposal_;
  std::shared_ptr<Making> making_;
  std::uint64_t last_tick_ns_ = 0;
  bool ever_lost_ = false;
};

}  // namespace drover
