// A shepherd's init: PID 1 of its job's namespace. It reaps, holds the streams, starts the program or has a worker
// restore it, and outlives its droverd: the next one finds it by its socket. It runs no restoring code, since its crash
// would be the job's death.
#pragma once

#include <sys/types.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/control/frame_socket.h"
#include "runtime/control/loop.h"
#include "runtime/shepherd/messages.h"
#include "runtime/shepherd/spawner.h"
#include "runtime/shepherd/streams.h"
#include "runtime/shepherd/terminal.h"
#include "runtime/shepherd/worker.h"

namespace drover::shepherd {

// Runs until the job has ended (and that has been heard) or gone elsewhere. The exit code means nothing to anyone.
int run_init(const SpawnRequest& request, UniqueFd link, bool namespaces);

class Init {
 public:
  Init(const SpawnRequest& request, UniqueFd link, bool namespaces);
  int run();

 private:
  // init.cpp: the link to droverd
  void listen();
  void accept_link();
  void use_link(UniqueFd fd);
  void on_frame(FrameSocket& from, Frame&& frame);
  void greet(FrameSocket& from, const Hello& hello);
  void obey(Frame&& frame);
  void link_closed();
  void end_with_allocation(std::uint64_t links);
  template <class T>
  void tell(Type type, const T& message) {
    if (link_) link_->send(static_cast<std::uint16_t>(type), pack(message));
  }
  Welcome describe() const;

  // init_program.cpp: the job's processes and streams
  void start(Start&& order);
  void on_start_report();
  void deliver(int signo);
  void kill_all();
  void reap();
  void on_root_exit(int wait_status);
  void report_end_if_drained();
  void watch_streams();
  void feed_input();  // both
  void feed(std::uint8_t stream);
  InputStream* input_of(std::uint8_t stream) { return stream == kPipeStream ? pipe_.get() : input_.get(); }
  void drain_output(int stream);
  void send_output(int stream);
  void use_pipes();
  void use_terminal(JobTerminal terminal);
  void stop_terminal();

  // init_hold.cpp: standing still where it is
  void hold();
  void release();
  void on_held();
  void on_hold_over(ThawedHere&& thawed);
  void hold_lost();
  bool is_held() const { return stage_ == Stage::Holding || stage_ == Stage::Held; }

  // init_checkpoint.cpp: images in files
  void checkpoint(const std::string& record, UniqueFd file);
  void on_checkpoint_done(const CheckpointDone& done);
  void start_of_image(StartOfImage&& order, UniqueFd image);
  StreamState continued(const StreamState& before, std::size_t stream) const;
  void on_restore_failed(const StartFailed& failure);

  // init_moves.cpp: dumping and restoring
  void dump(const Dump& order);
  void begin_task(WorkerTask task);  // or later, if a worker is there still
  void fork_source_worker(WorkerTask task);
  void refuse_task(const WorkerTask& task, const std::string& why);
  bool may_begin(const WorkerTask& task) const;
  void set_out(const WorkerTask& task);
  void give_to_lingering_worker();
  void describe_source(WorkerTask& task) const;
  void restore(const Restore& order);
  WorkerTask prepare_task(const Dump& order);
  void fork_worker(WorkerTask task, void (*work)(WorkerTask));
  void on_channel(Frame&& frame);
  void on_worker_exit();
  void source_worker_gone();
  void destination_worker_gone();
  void go_on_here(const std::string& why);
  void let_streams_flow();
  void adopt(const JobContext& context, UniqueFd terminal);
  void running_here(const ResumedHere& resumed);
  void fork_settler(void (*child)(const Init&));

  std::string job_dir() const { return hello_.state_dir + "/jobs/" + std::to_string(facts_.job); }

  EventLoop loop_;
  std::string node_dir_, socket_path_;
  bool namespaces_;
  bool done_ = false;
  UniqueFd listener_, signals_;
  std::unique_ptr<FrameSocket> link_;
  std::uint64_t links_ = 0;                             // so far
  std::vector<std::unique_ptr<FrameSocket>> greeting_;  // connected, have not said hello
  std::vector<std::unique_ptr<FrameSocket>> retired_;   // replaced while one of their handlers may still run
  Hello hello_;
  JobFacts facts_;
  Stage stage_ = Stage::Empty;

  pid_t root_ = 0;
  bool root_dead_ = false;
  int root_status_ = 0;
  std::map<pid_t, int> ended_early_;  // reaped while a restore goes on, before its root is known: wait statuses
  UniqueFd start_report_;
  std::string start_report_bytes_;
  std::optional<Ended> ended_;
  bool end_told_ = false;

  std::optional<JobTerminal> terminal_;
  std::unique_ptr<InputStream> input_;
  std::unique_ptr<InputStream> pipe_;  // with a terminal: the program's standard input, if that is another
  std::array<std::unique_ptr<OutputStream>, 2> output_;
  std::array<std::uint64_t, 2> sent_{};  // absolute offset up to which output went over the present link
  std::array<bool, 2> output_end_told_{};
  bool streams_watched_ = false;
  std::array<bool, 2> output_watched_{};
  bool frozen_ = false;  // a snapshot has been taken: nothing may flow
  std::vector<std::int32_t> held_signals_;

  pid_t worker_ = 0, settler_ = 0;
  std::unique_ptr<WorkerTask> waiting_task_;  // until the last worker has ended, or answered that it can't yet
  std::vector<KnownWait> known_waits_;        // of the job since it was let go last
  std::unique_ptr<FrameSocket> channel_;
  bool past_end_ = false;  // source: END has left; destination: READY has been sent
  bool moved_away_ = false;
  bool all_killed_ = false;            // a held job's worker may be seen to end before the job
  Work work_ = Work::Move;             // of the source worker
  bool checkpointing_ = false;         // a worker is to say what came of an image
  std::optional<StartOfImage> start_;  // of an image
  std::string destination_, source_;
  std::int64_t move_epoch_ = 0;
};

}  // namespace drover::shepherd
