// The jobs that were submitted at this node: where each is, its streams, its end. Whoever wants to know of a job asks
// its origin.
//
// Placement is here too: the queue of jobs that wait for PUs, the decision (by a pure policy), the probes, the
// reservation, and what happens when the node that was asked to start a job falls silent: the decision register tells
// which of the two starts it.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <memory_resource>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ckpt/sys/unique_fd.h"
#include "runtime/jobs/array.h"
#include "runtime/jobs/attempt.h"
#include "runtime/jobs/cluster.h"
#include "runtime/jobs/scrollback.h"

namespace drover {

// Where a job's output goes at its origin: a launcher that is attached. Implemented by the control server's
// connections.
class Attachment {
 public:
  virtual ~Attachment() = default;
  virtual void output(int stream, std::uint64_t offset, const std::string& bytes) = 0;
  virtual void output_end(int stream, std::uint64_t offset) = 0;
  virtual void input_ack(int stream, std::uint64_t offset) = 0;  // 0, or kPipeStream
  virtual void ended(const nlohmann::json& job) = 0;
  virtual void dropped(const std::string& why) = 0;                    // it is told nothing more
  virtual void notice(std::int64_t job, const std::string& text) = 0;  // what its user should know while it goes on
};

enum class JobState { Queued, Starting, Running, Moving, InDoubt, Ended, Failed, Lost };
const char* job_state_name(JobState);
bool ends_program(int signo);  // unless it is caught
std::string failure_text(int wait_status);

// How long an attached job waits for its launcher to come back (a new world is up well before) until it is hung up on.
inline constexpr std::uint64_t kReattachNs = 15'000'000'000ULL;

// Of all attempts together, one after the other.
struct OutputSink {
  std::uint64_t base = 0;      // where that of the present attempt begins; its shepherd counts from there
  std::uint64_t received = 0;  // bytes that have come, in order
  std::uint64_t safe = 0;      // bytes written to the file, or acknowledged by the launcher
  bool ended = false;
  std::shared_ptr<UniqueFd> file;  // empty: attached
  std::string path;
  bool continued = false;  // of a restored job: the file was the former job's
  std::string tail;        // attached: what the launcher has not acknowledged
};

struct InputFeed {         // of the present attempt
  std::uint64_t base = 0;  // absolute offset of `held`'s first byte: everything before it is at the shepherd
  std::string held;        // bytes that the shepherd has not acknowledged
  std::uint64_t sent = 0;  // absolute
  bool ended = false, end_sent = false;
  std::shared_ptr<UniqueFd> file;  // read at the origin; empty: the launcher's, or nothing
  bool reading = false;
};

// A launcher that shows a job's terminal.
struct Viewer {
  Attachment* attachment = nullptr;
  shepherd::WindowSize size;
  std::uint64_t seen = 0;   // of the output, absolute
  std::uint64_t typed = 0;  // offset in its own input that comes next
};

// A job's terminal and those who look at it: the first viewer has been there longest, and the job waits for it.
struct TerminalDesk {
  struct Typed {  // bytes of somebody's input whose end is at `job_end` of the job's
    Attachment* by;
    std::uint64_t own_end, job_end;
  };
  std::vector<Viewer> viewers;
  std::deque<Typed> unacknowledged;
  Scrollback scrollback;
  Attachment* piper = nullptr;  // the viewer that fills the pipe beside it
  bool kept = false;            // goes on with nobody looking: detached in order, or hung up on already
};

struct OriginJob {  // NOLINT(bugprone-reserved-identifier): clang-tidy 14 means its own __i0, in the copy of an array
  std::int64_t id = 0;
  JobSpec spec;
  JobState state = JobState::Queued;
  int attempt = 1;  // of spec.retries + 1 at most
  std::int64_t epoch = 0;
  std::string last_failure;         // how the attempt before ended
  std::uint64_t signals = 0;        // a bit for each that a person, a launcher or a time limit has sent it
  std::uint64_t lost_since_ns = 0;  // CLOCK_MONOTONIC: since when its place does not answer; 0: it does
  int place = -1;                   // rank; -1: nowhere yet
  int asked = -1;                   // rank that was asked or ordered to start it and has not answered
  Placement placement;              // whom else to ask, the last first
  std::vector<Answer> answers;      // of those who would not
  std::string why;
  std::int64_t array = 0, array_index = 0;  // of a task: the job that is its array, and its index; 0: no task
  bool counted = false;                     // its end is in its array's figures
  bool listed = false;                      // among those that have ended
  bool left_behind = false;            // an attempt was given up on a node that did not answer, where it may live still
  bool brief = false;                  // `spec` is the log's, without what a start needs
  bool unheard = false;                // of an earlier world, and no shepherd has said in this one that it is there
  std::optional<ArrayProgress> tasks;  // of an array, which itself is nowhere
  bool opened = false;                 // its streams
  std::size_t unmet = 0;               // of those that it is to start after: that are not over
  bool told_waiting = false;           // that it waits
  bool held = false;                   // by `drover hold`: must not start, or stands still where it is
  std::uint64_t not_before_ns = 0;     // CLOCK_MONOTONIC: nobody has taken it just now
  std::uint64_t passed_since_ns = 0;   // CLOCK_MONOTONIC when it was found to wait while others need less
  std::uint64_t submitted_ns = 0, started_ns = 0, ended_ns = 0;
  std::int32_t pid = 0;
  std::uint32_t moves = 0;
  std::uint64_t frozen_ns = 0;
  double cpu_seconds = 0;
  std::uint64_t max_rss_kib = 0;
  int wait_status = 0;
  std::string error, error_code;
  std::string pinned;
  std::string doubt;
  std::uint64_t held_since_ns = 0;        // CLOCK_REALTIME; 0: not held
  std::uint64_t held_ns = 0;              // before that, since it started
  std::string hold_reason;                // while it is held, if who holds it has given one
  std::string checkpoint;                 // path of the last image of it that was written; empty: none was
  bool may_go_on = false;                 // from that: no attempt has failed by itself since
  std::uint64_t checkpoint_ns = 0;        // CLOCK_REALTIME when that was
  std::uint64_t checkpoint_tried_ns = 0;  // CLOCK_REALTIME when one was begun because it was time
  std::string retry_image;                // that the present attempt goes on from; empty: from what its spec says
  std::uint64_t time_limit_ns = 0;  // CLOCK_REALTIME when its time limit was over and it was told to end; 0: not yet
  std::string stdin_path;           // with its patterns expanded; those of the output are in `output`
  OutputSink output[2];
  InputFeed input;
  InputFeed pipe;                    // beside a terminal
  Attachment* attachment = nullptr;  // not of a job with a terminal
  TerminalDesk desk;
  std::uint64_t detached_ns = 0;  // CLOCK_MONOTONIC when an attached launcher went away
  // Tells the submitter when it is started or has failed, and before, if it has to wait.
  std::function<void(const OriginJob&)> placed;
};

// What placement asks of the node it runs on.
struct PlacementView {
  // For one that was submitted here; `table` as table() gives it, with what has been asked for since.
  std::function<Placement(std::int64_t job, const Need&, const std::vector<NodeView>& table)> decide;
  std::function<NodeView()> own;                         // this node now, jobs just started counted in
  std::function<std::vector<NodeView>()> table;          // all nodes as far as is known here, by rank
  std::function<void(int rank, const NodeView&)> heard;  // what a node has told of itself
  std::function<void(std::int64_t job, int cpus)> reserve_here;
  std::function<void()> arrived;  // a job has been submitted here
  Nanoseconds lost_after;         // without a word of a node, jobs with retries are started anew
  std::size_t keep_finished = 0;  // so many jobs that have ended stay in memory
};

class OriginJobs {
 public:
  OriginJobs(Cluster& cluster, PlacementView view);

  // Replay of this node's log, line by line and then the end: jobs of an earlier world. Those that had not ended wait
  // for their shepherds' word.
  void replay(const std::string& line);
  void end_replay();

  // Takes a job; `placed` hears when it was started or could not be, and before that, once, if it has to wait.
  // `attachment` (may be null) must be detached before it dies.
  void submit(JobSpec spec, Attachment* attachment, std::function<void(const OriginJob&)> placed);

  OriginJob* find(std::int64_t id);  // null also of one that is in the archive
  const std::pmr::map<std::int64_t, OriginJob>& all() const { return jobs_; }
  static bool over(const OriginJob& job) { return job.state >= JobState::Ended; }
  std::size_t unfinished() const;

  void handle(int from, Msg type, const std::string& payload);
  void rank_lost(int rank);
  void rank_returned(int rank);
  void moved(const std::string& event_json);  // a MoveReport
  void tick();                                // once a second: time limits, launchers that did not come back
  void cancel_waiting();                      // all that have not started

  // The launcher's side of an attached job.
  void attach(OriginJob& job, Attachment* attachment, std::uint64_t stdout_have, std::uint64_t stderr_have);
  void detach(std::int64_t id, Attachment* attachment);
  void input(OriginJob& job, int stream, std::uint64_t offset, std::string_view bytes);
  void input_end(OriginJob& job, int stream, std::uint64_t offset);
  void output_ack(OriginJob& job, int stream, std::uint64_t offset);
  void signal(OriginJob& job, int signo);

  // Holds a job, or lets it go on. `reason`: of a hold, a person's words, may be empty. `done` hears of it once: an
  // empty text, or why not, with a code of PROTOCOL.md.
  using Held = std::function<void(const std::string& code, const std::string& error)>;
  void hold(OriginJob& job, bool on, const std::string& reason, Held done);
  // Has an image of it written to `path`, which its node must see. `done` hears of it once.
  using CheckpointEnd = std::function<void(const shepherd::CheckpointDone&)>;
  void checkpoint(OriginJob& job, const std::string& path, CheckpointEnd done);

  // Those who look at a job's terminal, and type (origin_terminal.cpp).
  struct View {
    std::uint64_t stdin_at = 0;   // where the viewer's own input begins
    std::uint64_t stdout_at = 0;  // of the first byte that show() sends
    std::string modes;            // to be written before that
  };
  // `seen`: how much of the output a viewer has that comes back; empty for a new one, which gets the scrollback.
  View add_viewer(OriginJob& job, Attachment* viewer, shepherd::WindowSize size, std::optional<std::uint64_t> seen);
  void show(OriginJob& job, Attachment* viewer);  // what is there already, after add_viewer()
  void resize(OriginJob& job, Attachment* viewer, shepherd::WindowSize size);
  void type(OriginJob& job, Attachment* viewer, std::uint64_t offset, std::string_view bytes);
  void seen(OriginJob& job, Attachment* viewer, std::uint64_t offset);
  // In order: without anybody the job goes on, or is hung up on at once.
  void leave(OriginJob& job, Attachment* viewer, bool hang_up);
  void keep(OriginJob& job, const char* why);  // with nobody looking, also over a new world
  // Calls back when the job is over (at once if it is).
  void when_over(std::int64_t id, std::function<void(const OriginJob&)> tell);

  nlohmann::json describe(const OriginJob& job) const;  // JOB of PROTOCOL.md

 private:
  // origin_queue.cpp
  static Need need_of(const OriginJob& job);
  using PastJobs = std::map<std::int64_t, bool>;  // of the archive: whether each has succeeded
  // Of those that `spec` is to start after. Blocking.
  static PastJobs read_past(const std::string& archive_dir, const JobSpec& spec);
  void admit(OriginJob& job, const PastJobs& past);  // to the queue, or first to wait for other jobs
  void before_is_over(std::int64_t id, const After& after, bool ok);
  void enqueue(OriginJob& job);
  void start_waiting();  // those that find room
  std::vector<NodeView> asked_table() const;
  bool may_start_at(const OriginJob& job, int rank, const NodeView& node) const;
  std::string find_shortage(const OriginJob& job, const std::vector<NodeView>& table) const;
  std::string find_impossible(const OriginJob& job) const;
  void wait(OriginJob& job, const std::string& why);
  void wait_again(OriginJob& job);                                   // after an earlier world
  std::function<JobSpec()> spec_reader(const OriginJob& job) const;  // of its directory; throws, and may block
  void unplaced(OriginJob& job, const std::string& why);
  void place_freed(int rank, int cpus);
  void ask(OriginJob& job, int rank);
  void ask_over(OriginJob& job);
  void leave_queue(OriginJob& job);
  bool cancel(OriginJob& job, int signo);                                // false if it does not wait
  using Waiting = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // -priority, job or its array, job
  static Waiting waiting(const OriginJob& job);
  // origin_array.cpp
  void make_tasks(OriginJob& array);
  void add_task(OriginJob& array, std::int64_t id);
  void task_started(const OriginJob& task);
  OriginJob* count_in_array(OriginJob& task);  // null: it is in the figures, or its array is over
  void count_task(OriginJob& task);
  void uncount_task(OriginJob& task);  // it lives after all
  void end_array(OriginJob& array);
  void cancel_array(OriginJob& array, const std::string& why);
  void signal_array(OriginJob& array, int signo);
  static std::string array_text(const OriginJob& array);
  void replay_task(OriginJob& task, const nlohmann::json& event);
  // origin_retry.cpp
  // Of an attempt. Silent: its place does not answer, and it may live on there.
  enum class Failure { Program, PlaceLost, PlaceSilent };
  bool may_retry(const OriginJob& job) const;  // it has failed, or is lost
  static bool input_is_gone(const OriginJob& job);
  void retry(OriginJob& job, const std::string& why, Failure failure);
  void start_again(std::int64_t id, int attempt);
  void give_up_place(OriginJob& job, std::uint64_t now_ns);       // one that has not answered for long
  bool is_outdated(int from, const OriginJob& job, int attempt);  // true: an earlier attempt, and it is told to end
  void note_signal(OriginJob& job, int signo);
  void replay_retry(OriginJob& job, const nlohmann::json& event);
  // origin_placement.cpp
  void choose_place(OriginJob& job);
  void probe_next(OriginJob& job);
  void take_best_answer(OriginJob& job);
  void start_here(OriginJob& job, const std::string& why);
  void order_start(OriginJob& job, int rank, bool elsewhere);
  void on_reserve_reply(int from, const ReserveReply& reply);
  void on_placed(int from, const Placed& placed);
  void on_place_failed(int from, const PlaceFailed& failed);
  void settle_failure(int from, const PlaceFailed& failed);
  void start_unanswered(std::int64_t id, int rank);
  void doubt_place(OriginJob& job);  // it does not answer
  void tell_placed(OriginJob& job);
  void fail(OriginJob& job, std::string code, std::string error);
  // origin_streams.cpp
  void name_streams(OriginJob& job) const;  // throws std::invalid_argument
  bool open_streams(OriginJob& job, std::string& error);
  void on_output(int from, const JobChunk& chunk);
  void on_output_end(int from, const JobMark& mark);
  void write_output(OriginJob& job, int stream, std::string bytes);
  void ack_output(OriginJob& job, int stream);
  void on_input_ack(const JobMark& mark);
  void send_input(OriginJob& job);
  void send_feed(OriginJob& job, int stream);
  void read_input_file(OriginJob& job);
  // origin_terminal.cpp
  bool remove_viewer(OriginJob& job, Attachment* viewer);  // true: it was the last
  void show_output(OriginJob& job, std::uint64_t offset, const std::string& bytes);
  void drop_output(OriginJob& job);
  void end_pipe(OriginJob& job);  // nobody fills it any more
  void acknowledge_typed(OriginJob& job, std::uint64_t offset);
  void tell_window(OriginJob& job, bool redraw = false);
  void adopt_terminal(OriginJob& job, const shepherd::Welcome& welcome);
  // origin_time_limit.cpp
  void enforce_time_limit(OriginJob& job, std::uint64_t now_ns);
  static std::string time_limit_text(const OriginJob& job);  // empty: it is not the reason of anything
  // origin_hold.cpp
  struct HoldRequest {
    bool on = true;
    std::uint64_t number = 0, deadline_ns = 0;
    std::string reason;
    Held done;
  };
  void hold_waiting(OriginJob& job, bool on, const std::string& reason);
  void hold_array(OriginJob& array, bool on, const std::string& reason, const Held& done);
  void send_hold(std::int64_t id, std::uint64_t number);
  void on_hold_failed(const JobHoldFailed& failed);
  void answer_hold(std::int64_t id, const std::string& code, const std::string& error);
  void set_held(OriginJob& job, bool held);
  void count_hold(OriginJob& job, bool held, std::uint64_t now_ns, const std::string& reason = {});
  static std::uint64_t held_ns(const OriginJob& job, std::uint64_t now_ns);
  static std::string hold_text(const OriginJob& job);
  static const std::string& image_of(const OriginJob& job);  // empty: it starts from its program's beginning
  // origin_checkpoint.cpp
  struct CheckpointRequest {
    std::int64_t job = 0;
    int rank = -1;
    std::string path;
    CheckpointEnd done;
    std::uint64_t deadline_ns = 0;  // for trying again
  };
  void checkpoint_in_time(OriginJob& job, std::uint64_t now_ns);
  void send_checkpoint(std::uint64_t request);
  void on_checkpointed(const JobCheckpointed& answer);
  void fail_checkpoints(int rank);
  void answer_checkpoint(std::uint64_t request, const shepherd::CheckpointDone& done);
  // origin_archive.cpp
  void list_ended(OriginJob& job);
  void archive_old();  // those that have ended before the newest so many, some at a time
  bool is_spoken_of(const OriginJob& job) const;
  void replay_archived(const nlohmann::json& event);
  // origin_replay.cpp
  void replay_end(OriginJob& job, const nlohmann::json& event);
  void miss(std::int64_t id);
  // origin.cpp
  void on_place_is(int from, const shepherd::Welcome& welcome);
  void on_ended(int from, const JobEnded& ended);
  void finish_if_drained(OriginJob& job);
  void log(const OriginJob& job, const char* event, nlohmann::json more = nlohmann::json::object());

  Cluster& cluster_;
  PlacementView view_;
  std::int64_t next_id_ = 1;
  // In blocks of their own: jobs stay for good among messages and buffers that go, and from a heap that both shared
  // each would cut a piece out of what a larger buffer needs the next time (five times the memory, with 10,000 jobs).
  std::pmr::unsynchronized_pool_resource job_memory_;
  std::pmr::map<std::int64_t, OriginJob> jobs_{&job_memory_};
  std::multimap<std::int64_t, std::function<void(const OriginJob&)>> watchers_;
  std::deque<std::int64_t> ended_;  // in the order of their ends; may name some that live again, or are gone
  bool archiving_ = false, archive_refused_ = false;
  std::map<std::int64_t, JobEnded> ends_;  // heard, but output is still being written

  std::set<Waiting> queue_;
  std::map<int, int> asked_cpus_;  // by rank: of asks without an answer
  bool starting_ = false;
  bool ending_ = false;                        // the world, and its jobs with it: nothing is started anew
  std::map<std::int64_t, HoldRequest> holds_;  // by job: of running ones, not answered yet
  std::map<std::uint64_t, CheckpointRequest> checkpoints_;
  std::uint64_t next_request_ = 1;  // of both
};

}  // namespace drover
