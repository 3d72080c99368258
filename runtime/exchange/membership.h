// Who is in the world: views, agreed on in two phases by point-to-point messages, and a communicator for each, made on
// a helper thread because MPI_Comm_create_group blocks (and hangs with an absent member).
//
// The lowest rank that hears heartbeats proposes the set of those it hears; all of them promise; then it commits. A
// rank that was only stopped is heard again and comes back by the same way, in a later view.
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
    std::function<void(MPI_Comm, const std::vector<int>& members)> communicator;  // the view's, ready for rounds
    std::function<void()> no_communicator;
  };

  Membership(int self, int size, MPI_Comm world, Nanoseconds suspect_after, Actions actions);
  ~Membership();

  void heard(int rank, std::uint64_t now_ns);
  void tick(std::uint64_t now_ns);  // several times a second
  void handle(int from, const ViewMessage& message, std::uint64_t now_ns);

  bool member(int rank) const { return members_.count(rank) != 0; }
  const std::set<int>& members() const { return members_; }
  bool anyone_ever_lost() const { return ever_lost_; }

 private:
  struct Proposal {
    std::uint64_t view;
    std::vector<std::int32_t> members;
    std::set<int> missing;  // promises
    std::uint64_t deadline_ns;
  };
  struct Making {  // shared with the helper thread, which may outlive us
    MPI_Comm comm = MPI_COMM_NULL;
    std::atomic<int> state{0};  // 0 running, 1 made, 2 failed
  };
  void propose(const std::vector<std::int32_t>& alive, std::uint64_t now_ns);
  void install(const ViewMessage& commit);
  void poll_helper();

  int self_;
  MPI_Comm world_;
  std::uint64_t suspect_ns_;
  Actions actions_;
  std::vector<std::uint64_t> heard_ns_;
  std::set<int> members_;
  std::uint64_t view_ = 0, promised_ = 0;
  std::vector<std::int32_t> view_members_;
  std::optional<Proposal> proposal_;
  std::shared_ptr<Making> making_;
  mpi::Communicator comm_;
  std::uint64_t last_tick_ns_ = 0;
  bool ever_lost_ = false;
};

}  // namespace drover
