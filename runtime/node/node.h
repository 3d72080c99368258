// One node of Drover: the parts of a droverd put together on one event loop.
//
// sample → share → decide is here (node_balance.cpp); freeze → dump → send → restore → commit → resume is in the movers
// and the shepherds; report goes to the event log and to who asked.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/config/config.h"
#include "runtime/control/loop.h"
#include "runtime/control/metrics_server.h"
#include "runtime/doctor/findings.h"
#include "runtime/exchange/load_exchange.h"
#include "runtime/exchange/membership.h"
#include "runtime/exchange/summary_exchange.h"
#include "runtime/jobs/background.h"
#include "runtime/jobs/cluster.h"
#include "runtime/jobs/event_log.h"
#include "runtime/jobs/origin.h"
#include "runtime/jobs/placed.h"
#include "runtime/load/calibration/marks.h"
#include "runtime/load/foreign_average.h"
#include "runtime/load/oom_kills.h"
#include "runtime/load/sampler.h"
#include "runtime/migrate/movers.h"
#include "runtime/mpi/doorbell.h"
#include "runtime/mpi/postbox.h"
#include "runtime/node/card.h"
#include "runtime/node/control_server.h"
#include "runtime/policy/arrival_rate.h"
#include "runtime/policy/migrant.h"
#include "runtime/policy/random.h"

namespace drover {

class Node final : public Cluster {
 public:
  struct Start {
    mpi::World& world;
    mpi::Doorbell doorbell;
    WorldInfo info;
    Topology topology;
    InstancePaths paths;
    NodeConfig config;
    UniqueFd spawner;
  };
  explicit Node(Start start);  // collective
  ~Node() override;

  // Until the world ends. Returns whether MPI may be finalized (nobody was ever lost).
  bool run();
  // Its socket and its folder, if it was told to leave for good. The last thing that is done with it.
  void remove_traces();
  void stop() { stop_ = true; }  // from a signal's handler on the loop

  // Cluster
  int self() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  const std::string& node_name(int rank) const override { return info_.nodes.at(static_cast<std::size_t>(rank)).name; }
  bool lost(int rank) const override { return !membership_->member(rank); }
  const std::string& lacks(int rank) const override { return info_.nodes.at(static_cast<std::size_t>(rank)).lacks; }
  void send_bytes(int to, Msg type, std::string payload) override;
  std::size_t backlog_bytes(int to) const override { return postbox_->backlog_bytes(to); }
  EventLoop& loop() override { return loop_; }
  const InstancePaths& paths() const override { return paths_; }
  std::uint64_t generation() const override { return info_.generation; }
  void log_event(std::string json) override;
  void in_background(std::function<void()> blocking, std::function<void()> done) override;

 private:
  using Answers = std::vector<nlohmann::json>;

  // node.cpp
  void make_parts(UniqueFd spawner);
  ShepherdEvents shepherd_events();
  Membership::Actions membership_actions();
  Nanoseconds turn();
  void on_message(int from, std::uint16_t type, std::string&& payload);
  void dispatch(int from, Msg type, const std::string& payload);
  void every_round();
  void view_changed(const std::vector<int>& left, const std::vector<int>& returned);

  // node_balance.cpp
  Share deal_pus() const;
  bool shared_host() const { return info_.nodes.at(static_cast<std::size_t>(self())).shared_host; }
  std::optional<Cgroup> counted_group() const;
  void take_sample();
  void choose_watermarks();
  NodeView own_view() const;  // now, jobs just started counted in
  std::vector<NodeView> view_table() const;
  void heard(int rank, const NodeView& view);
  int slots() const;  // PUs that are promised to jobs
  std::vector<NodeView> places() const;
  Placement decide_place(std::int64_t job, const Need& need, const std::vector<NodeView>& table);
  PlacementView placement_view();
  void pull();
  void ask_next_giver();
  void on_pull_reply(int from, const PullReply& reply);
  std::vector<Candidate> candidates(int to);  // for a move to that rank
  bool may_give(const PlacedJob& job, std::uint8_t flags, bool foreign_jobs_here) const;
  bool give(int to, const NodeView& destination, const char* why);
  bool give(int to, const NodeView& destination, const char* why, const std::vector<Candidate>& jobs);
  void send_home();
  void on_pull_ask(int from, const PullAsk& ask);
  void pair();
  void give_to_pairs(const std::vector<NodeView>& table, int first);
  void announce();
  LoadSample as_of_now(LoadSample sample) const;
  void on_reserve(int from, const Reserve& reserve);
  std::optional<std::string> refuse_offer(const MoveOffer& offer);

  // node_doctor.cpp
  void answer_doctor(int from, std::uint64_t request, const std::string& token);
  std::vector<Finding> judge_world() const;

  // node_drain.cpp
  void read_drain();
  void set_drain(bool on, const std::string& reason);
  void drain_step();
  std::uint64_t watch_drain_move(std::int64_t job);  // the request to move it with
  bool may_drain_now(std::int64_t job) const;
  nlohmann::json describe_drain() const;

  // node_share.cpp
  void begin_sharing();
  void use_communicators(const ViewComms& comms, const std::vector<int>& view);
  void send_heartbeats();
  void on_heartbeat(int rank, std::span<const std::byte> payload, std::uint64_t now_ns);
  bool share_summary(std::uint64_t now_ns);
  bool summaries_progress(std::uint64_t now_ns);
  void hear_of_group(int group);
  void stand_for_groups(std::vector<NodeView>& views) const;
  void pair_groups();
  nlohmann::json describe_sharing() const;
  nlohmann::json describe_groups() const;

  // node_control.cpp
  ControlActions control_actions();
  nlohmann::json describe_status() const;
  nlohmann::json describe_nodes() const;
  nlohmann::json describe_own_load() const;
  void serve_metrics();
  nlohmann::json answer(const nlohmann::json& question);
  // `ids`: these and no others, if there are any.
  std::vector<const OriginJob*> jobs_asked_for(bool all, bool last, const std::vector<std::int64_t>& ids) const;
  // An answer gets `heard_ns`, when it came (since 1970), if it tells a time itself.
  void gather(const nlohmann::json& question, std::function<void(Answers)> done);
  void on_gather_reply(int from, const Question& reply);
  void on_move_report(const MoveReportMsg& report);
  void fail_move_waiters(int source);
  void ping_all(const std::function<void(const nlohmann::json&)>& done);
  void begin_down(const std::string& mode, std::function<void(const nlohmann::json&)> done);
  void obey_down(int from, const std::string& mode);

  mpi::World& world_;
  mpi::Doorbell doorbell_;
  WorldInfo info_;
  Topology topology_;
  InstancePaths paths_;
  NodeConfig config_;
  Share share_;
  NodeMarks marks_;

  EventLoop loop_;
  std::unique_ptr<EventLog> event_log_;
  std::string events_waiting_;
  std::unique_ptr<Background> background_;
  std::unique_ptr<mpi::Postbox> postbox_;
  mpi::Communicator rounds_, images_;
  GroupLayout layout_;
  std::unique_ptr<LoadExchange> exchange_;
  std::unique_ptr<SummaryExchange> summaries_;  // on two levels, else null
  std::unique_ptr<Membership> membership_;
  std::unique_ptr<LoadSampler> sampler_;
  OomKills oom_kills_;
  std::unique_ptr<PlacedJobs> placed_;
  std::unique_ptr<OriginJobs> origin_;
  std::unique_ptr<LinkSpeeds> links_;
  std::unique_ptr<OutgoingMoves> outgoing_;
  std::unique_ptr<IncomingMoves> incoming_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<MetricsServer> metrics_;
  bool metrics_refused_ = false;

  Random random_;
  ArrivalRate arrivals_;
  struct Heard {
    NodeView view;
    std::uint64_t ns = 0;  // CLOCK_MONOTONIC; 0: never
  };
  std::vector<Heard> heard_;  // by rank
  std::vector<int> givers_;   // still to be asked for a job, the one that is being asked last
  double demand_before_ = 0;
  ForeignAverage foreign_;
  std::uint64_t told_ns_ = 0;          // when the own load vector last went out
  bool leads_group_ = false;           // as of the last round; on two levels
  std::uint64_t summary_told_ns_ = 0;  // when the group's summary last went out
  std::uint64_t hot_until_ns_ = 0;
  Nanoseconds hot_wait_{0};  // until the next look within that time; doubles
  bool stop_ = false, superseded_ = false;

  struct DrainTrouble {
    std::string error;
    unsigned times = 0;
    std::uint64_t not_before_ns = 0;  // CLOCK_MONOTONIC
  };
  struct Drain {
    bool on = false;
    std::string reason;                             // as a person gave it
    std::uint64_t since_ns = 0;                     // since 1970
    std::map<std::int64_t, DrainTrouble> troubles;  // of jobs whose moves failed
  };
  Drain drain_;

  struct Gathering {
    Answers answers;
    std::vector<bool> missing;
    std::function<void(Answers)> done;
  };
  struct Pinging {
    std::uint64_t sent_ns;
    std::function<void(int rank, std::uint64_t took_ns)> done;
  };
  std::map<std::uint64_t, Gathering> gatherings_;
  std::map<std::uint64_t, Pinging> pings_;
  struct MoveWaiter {
    int source, to;
    std::int64_t job;
    std::function<void(const nlohmann::json& event)> done;
  };
  std::map<std::uint64_t, MoveWaiter> move_waiters_;
  std::uint64_t next_request_ = 1;
  std::function<void(const nlohmann::json&)> down_done_;
  std::vector<bool> down_missing_;
  bool leaving_ = false;
  bool leaving_jobs_ = false;  // they run on after this
};

}  // namespace drover
