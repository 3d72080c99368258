// The jobs whose place is this node: their shepherds, and what is known of them here.
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/control/frame_socket.h"
#include "runtime/jobs/cluster.h"
#include "runtime/jobs/holdings.h"
#include "runtime/load/walk_budget.h"
#include "runtime/policy/arrival_rate.h"
#include "runtime/shepherd/spawner.h"

namespace drover {

// An image of a job that is being written, for its origin.
struct CheckpointUnderWay {
  int asker = -1;
  std::uint64_t request = 0;
  std::string path;                // that it gets when it is whole
  std::shared_ptr<UniqueFd> file;  // under its name until then
  bool begun = false;              // by the shepherd
};

struct PlacedJob {
  shepherd::JobFacts facts;
  shepherd::Stage stage = shepherd::Stage::Empty;
  pid_t init_pid = 0;         // the shepherd's, in droverd's PID namespace; 0 until the spawner has told it
  std::int32_t root_pid = 0;  // the program's, in its own PID namespace
  std::uint64_t pipe_device = 0;
  std::array<std::uint64_t, 3> pipe_inodes{};
  Holdings holdings;                 // of about a second ago
  double cpu_seconds = 0;            // on all nodes
  ArrivalRate stream_bytes;          // of its input and output
  double zero_share = 0;             // of its anonymous memory, when it was looked at
  std::uint64_t zero_share_ns = 0;   // CLOCK_MONOTONIC; 0: never
  WalkBudget looks{200};             // for refresh_facts()
  double demand = 1;                 // runnable threads, smoothed; 1 until it has been measured
  std::string obstacle;              // why it can't be moved now; empty: nothing found
  std::uint64_t known_since_ns = 0;  // CLOCK_MONOTONIC
  std::unique_ptr<FrameSocket> link;
  std::optional<PlaceOrder> order;  // until it is started
  std::vector<std::int32_t> held_signals;
  std::int64_t link_epoch = 0;  // tells its link from that of another attempt
  bool reserved = false;        // not started yet
  bool welcomed = false;
  bool moving_out = false, moving_in = false;
  bool holding = false;  // its shepherd has been told to hold it, and has not answered
  std::optional<CheckpointUnderWay> checkpoint;
  // Whether `drover hold` has stopped it, or is about to.
  bool is_held() const { return holding || stage == shepherd::Stage::Holding || stage == shepherd::Stage::Held; }
};

// Why it can't be moved while it is held.
std::string held_text(std::int64_t job);

// What the mover wants to hear from a shepherd; the rest is PlacedJobs' own business.
struct ShepherdEvents {
  std::function<void(PlacedJob&)> ready_to_restore;                       // linked, after expect_restore()
  std::function<void(PlacedJob&, const shepherd::RunningHere&)> running;  // restored here
  std::function<void(PlacedJob&, const std::string& why)> thawed;
  std::function<void(PlacedJob&, const std::vector<std::int32_t>& held_signals)> moved_away;  // its shepherd is ending
  std::function<void(PlacedJob&)> ended;    // here; no later word of its shepherd may be heard
  std::function<bool()> killed_for_memory;  // did the kernel kill somebody for that just now?
  std::function<void(PlacedJob&)> worker_gone;
  std::function<void(PlacedJob&)> handed_back;
  std::function<void(PlacedJob&)> shepherd_lost;  // the link closed without a word: it is being removed
};

class PlacedJobs {
 public:
  PlacedJobs(Cluster& cluster, UniqueFd spawner, std::vector<std::int32_t> cpus);

  // Called when a shepherd obeys a newer droverd on this node: this one's time is over.
  void on_superseded(std::function<void()> leave) { superseded_ = std::move(leave); }
  void set_mover(ShepherdEvents events) { mover_ = std::move(events); }
  // Whether this host gives jobs namespaces of their own; else why not.
  const std::string& no_namespaces_reason() const { return no_namespaces_; }
  // Shepherds left by an earlier world on this node: connects to each and tells its job's origin.
  void adopt_existing();

  void place(int from, PlaceOrder order);
  // A shepherd for a job that comes here; ready_to_restore follows. Throws std::runtime_error if one is here already.
  PlacedJob& expect_restore(const shepherd::JobFacts& facts, std::int64_t epoch);
  void reserve(std::int64_t job, int cpus);
  void release(std::int64_t job);

  PlacedJob* find(std::int64_t job);
  const std::map<std::int64_t, PlacedJob>& all() const { return jobs_; }
  std::map<std::int64_t, PlacedJob>& all() { return jobs_; }
  std::vector<pid_t> init_pids() const;
  std::size_t count() const;  // reserved ones included
  int cpus() const;           // that jobs have asked for, reserved ones included, those that have ended or are held not
  // Runnable threads of all of them: as measured, one each until it has been, none of those that are leaving.
  double demand() const;
  void measured(const std::map<pid_t, double>& runnable_by_init);
  // CPU seconds used here by the jobs that have ended since the last call, by their inits.
  std::map<pid_t, double> take_ended() { return std::exchange(ended_, {}); }

  void handle(int from, Msg type, const std::string& payload);  // Place .. JobSignal, JobEndedAck
  void tell(PlacedJob& job, shepherd::Type type, const std::string& payload, std::vector<UniqueFd> fds = {});
  void tell_origin(const PlacedJob& job, Msg type, std::string payload);
  void kill_all();
  void remove(std::int64_t job);
  void refresh_facts();  // memory, CPU time, files, obstacles: once a second, less often where it takes long
  double zero_share(PlacedJob& job);  // sample_zero_share(), looked up again when it is old

 private:
  static void look_at(PlacedJob& job);
  void hold(int from, const JobHold& order);
  void hold_failed(PlacedJob& job, const std::string& why);
  void checkpoint(int from, const JobCheckpoint& order);
  void begin_checkpoint(const JobCheckpoint& order, const std::shared_ptr<UniqueFd>& file, const std::string& error);
  void finish_checkpoint(PlacedJob& job, shepherd::CheckpointDone done);
  void start_of_image(std::int64_t id);
  void spawn(PlacedJob& job, bool namespaces);
  void on_spawner();
  using LinkKey = std::pair<std::int64_t, std::int64_t>;  // job, and the epoch for which its shepherd was made
  void connect(PlacedJob& job, UniqueFd fd);
  void adopt_socket(const std::string& path, std::int64_t job, std::int64_t epoch);
  void on_frame(const LinkKey& key, Frame&& frame);
  void on_closed(const LinkKey& key);
  void on_welcome(PlacedJob& job, const shepherd::Welcome& welcome);
  void forward_output(PlacedJob& job, const Frame& frame);
  void throttle();
  // placed_attempts.cpp
  PlacedJob* find_attempt(std::int64_t id, int attempt);
  void dismiss(PlacedJob& job);  // ends it, and it is no job of this node's any more
  void on_dismissed_frame(const LinkKey& key, const Frame& frame);
  void on_dismissed_closed(const LinkKey& key);
  bool is_dismissing(std::int64_t id) const;
  bool wait_for_attempt(int from, PlaceOrder& order);
  void place_later(std::int64_t id);

  Cluster& cluster_;
  UniqueFd spawner_;
  std::vector<std::int32_t> cpus_;
  std::string no_namespaces_;
  ShepherdEvents mover_;
  std::function<void()> superseded_;
  std::map<std::int64_t, PlacedJob> jobs_;
  std::map<pid_t, double> ended_;
  std::vector<std::unique_ptr<FrameSocket>> retired_;
  std::map<LinkKey, std::unique_ptr<FrameSocket>> dismissed_;
  struct WaitingOrder {
    int from = 0;
    PlaceOrder order;
  };
  std::map<std::int64_t, WaitingOrder> waiting_;  // for the end of an earlier attempt here
  bool throttling_ = false;
};

}  // namespace drover
