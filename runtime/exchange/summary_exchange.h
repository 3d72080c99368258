// What the groups know of each other: leaders gather the summaries of all groups (one MPI_Iallgather per round of their
// own) and spread them in their groups (MPI_Ibcast).
//
// The hard part is to keep the levels from waiting for each other. A leader tells what it knows of its group when the
// leaders' round is due, whether the group's own round is late or not; it spreads what it has heard when a round of
// leaders is late (their heartbeats carry the summaries too); and whoever is not there for a broadcast gets it later.
// So a stopped member costs its own group one late round, and a stopped leader the leaders one and its group one.
#pragma once

#include <mpi.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/exchange/load_exchange.h"
#include "runtime/exchange/summary.h"
#include "runtime/exchange/view_comms.h"

namespace drover {

class SummaryExchange {
 public:
  struct Known {
    GroupSummary summary;
    std::uint64_t true_ns = 0;  // CLOCK_MONOTONIC here when it was made, as far as is known; 0: never heard
  };

  SummaryExchange(int self, const GroupLayout& layout, const ExchangeTimes& times);
  SummaryExchange(const SummaryExchange&) = delete;

  ~SummaryExchange();

  // Of the present view. Open requests of the former one are abandoned (their memory stays with MPI).
  void use(const ViewComms& comms, const std::vector<int>& view);
  void no_communicators();  // a new view is being made: leaders' heartbeats only

  // A leader's own group. Posts the next round of leaders unless one is open or there is no communicator.
  void post(const GroupSummary& own, std::uint64_t now_ns);
  // When a leader's summary is due, if it was told at `told_ns` the last time.
  std::uint64_t next_due_ns(std::uint64_t told_ns) const;
  // Another leader's heartbeat. False for what is none.
  bool heard(int from, const LeaderBeat& beat, std::uint64_t now_ns);

  struct Progress {
    bool news = false;    // summaries have come: known() has changed for the members of a group, all at once
    bool spread = false;  // a broadcast has begun: the group must be woken for it
  };
  Progress progress(std::uint64_t now_ns);

  const std::vector<Known>& known() const { return known_; }  // by group
  bool first_news_done() const { return spreads_ > 0; }
  const ExchangeCounts& counts() const { return counts_; }  // rounds of leaders; a member that never led has none
  std::uint64_t spreads() const { return spreads_; }        // broadcasts that were sent or have come

 private:
  struct Round {  // of the leaders
    std::vector<GroupSummary> gathered;
    GroupSummary own;
    MPI_Request request = MPI_REQUEST_NULL;
    std::uint64_t posted_ns = 0;
    bool late = false;
  };
  struct Spread {
    std::vector<GroupSummary> summaries;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  void abandon();
  void take(const GroupSummary& summary, int group, std::uint64_t now_ns);
  bool gathered(std::uint64_t now_ns);
  bool lead(std::uint64_t now_ns);
  bool follow(std::uint64_t now_ns);
  void open_spread(std::uint64_t now_ns);

  int self_;
  GroupLayout layout_;
  ExchangeTimes times_;
  std::vector<Known> known_;
  ViewComms comms_;
  bool leader_ = false;             // in this view
  std::vector<int> groups_;         // of the ranks of the leaders' communicator
  std::unique_ptr<Round> round_;    // open
  std::unique_ptr<Spread> spread_;  // open
  bool spread_due_ = false;
  std::uint64_t next_ns_ = 0, spread_ns_ = 0, spreads_ = 0;
  ExchangeCounts counts_;
};

}  // namespace drover
