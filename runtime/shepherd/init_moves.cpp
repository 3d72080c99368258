// Init's part in moving its job: forking the workers, and knowing what their deaths mean.
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "ckpt/sys/error.h"
#include "runtime/control/clock.h"
#include "runtime/shepherd/init.h"
#include "runtime/shepherd/namespaces.h"

namespace drover::shepherd {

namespace {

constexpr auto kWorkerAnswers = std::chrono::seconds(5);

// In a fresh child: everything of init's that is not the task's is closed. By number, since running destructors here
// would take descriptors out of the epoll set that the child shares with init.
void keep_only(const std::vector<int>& fds) {
  const int highest = fds.empty() ? 2 : *std::max_element(fds.begin(), fds.end());
  for (int fd = 3; fd <= highest; ++fd)
    if (std::find(fds.begin(), fds.end(), fd) == fds.end()) ::close(fd);
  ::close_range(static_cast<unsigned>(highest) + 1, ~0U, 0);
}

void default_signals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// utime, stime, cutime and cstime of proc(5), fields 14 to 17. The name before them may hold anything, brackets too.
std::uint64_t cpu_time_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 2));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  std::uint64_t ticks = 0;
  for (std::uint64_t value = 0, i = 0; i < 4 && fields >> value; ++i) ticks += value;
  return ticks * (1'000'000'000ULL / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
}

}  // namespace

WorkerTask Init::prepare_task(const Dump& order) {
  WorkerTask task;
  task.socket = link_->take_fd();
  task.ring = link_->take_fd();
  task.order = order;
  task.root = root_;
  task.job_dir = job_dir();
  task.node_dir = node_dir_;
  task.cpus = hello_.cpus;
  task.namespaces = namespaces_;
  source_ = order.source;
  destination_ = order.destination;
  move_epoch_ = order.epoch;
  past_end_ = false;
  return task;
}

// Of every task on a job that runs here.
void Init::describe_source(WorkerTask& task) const {
  const Welcome welcome = describe();
  task.root = root_;
  task.node_dir = node_dir_;
  task.cpus = hello_.cpus;
  task.namespaces = namespaces_;
  task.pipe_device = welcome.pipe_device;
  task.pipe_inodes = welcome.pipe_inodes;
  task.known = known_waits_;
  if (terminal_ && task.work != Work::Hold) task.terminal = terminal_->copy_of_master();
}

void Init::fork_worker(WorkerTask task, void (*work)(WorkerTask)) {
  int pair[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
  UniqueFd ours(pair[0]);
  task.channel.reset(pair[1]);
  worker_ = fork_aside(namespaces_);
  if (worker_ == 0) {
    ::close(ours.release());
    keep_only({task.socket.get(), task.ring.get(), task.channel.get(), task.terminal.get(), task.image.get(),
               task.stream_fds[0], task.stream_fds[1], task.stream_fds[2]});
    default_signals();
    work(std::move(task));
  }
  channel_ = std::make_unique<FrameSocket>(
      loop_, std::move(ours),
      FrameSocket::Handlers{[this](Frame&& frame) { on_channel(std::move(frame)); }, [](const std::string&) {}, {}});
}

void Init::dump(const Dump& order) { begin_task(prepare_task(order)); }

bool Init::may_begin(const WorkerTask& task) const {
  if (stage_ != Stage::Running) return false;
  if (task.work == Work::Move) return task.socket && task.ring;
  return task.work == Work::Hold || task.image;
}

void Init::refuse_task(const WorkerTask& task, const std::string& why) {
  switch (task.work) {
    case Work::Move:
      return tell(Type::Thawed, Text{why});
    case Work::Hold:
      return tell(Type::HoldFailed, Text{why});
    case Work::Checkpoint:
      return tell(Type::CheckpointDone, CheckpointDone{why, 0, 0});
  }
}

void Init::begin_task(WorkerTask task) {
  if (!may_begin(task)) return refuse_task(task, is_held() ? "it is held" : "the job does not run (any more)");
  if (worker_ == 0) return fork_source_worker(std::move(task));
  // The last worker is about to end, or holds threads that nobody else can trace (see_out(), worker.cpp).
  if (waiting_task_) return refuse_task(task, "something else is about to be done to it");
  waiting_task_ = std::make_unique<WorkerTask>(std::move(task));
  channel_->send(static_cast<std::uint16_t>(Channel::Wanted), pack(Text{}));
  loop_.after(kWorkerAnswers, [this] {
    if (const auto late = std::exchange(waiting_task_, nullptr))
      refuse_task(*late, "its last move is not over yet: the shared state directory does not answer");
  });
}

void Init::set_out(const WorkerTask& task) {
  work_ = task.work;
  if (work_ == Work::Checkpoint) checkpointing_ = true;
  stage_ = work_ == Work::Hold ? Stage::Holding : Stage::Dumping;
  past_end_ = false;
}

void Init::fork_source_worker(WorkerTask task) {
  if (!may_begin(task)) return refuse_task(task, "the job does not run (any more)");
  set_out(task);
  describe_source(task);
  fork_worker(std::move(task), [](WorkerTask t) { run_source_worker(std::move(t)); });
}

void Init::give_to_lingering_worker() {
  const auto task = std::move(waiting_task_);
  if (!task || !may_begin(*task)) {
    channel_->send(static_cast<std::uint16_t>(Channel::NoTask), pack(Text{}));
    if (task) refuse_task(*task, "the job does not run (any more)");
    return;
  }
  set_out(*task);
  describe_source(*task);
  std::vector<UniqueFd> fds;
  for (UniqueFd* fd : {&task->socket, &task->ring, &task->image, &task->terminal})
    if (*fd) fds.push_back(std::move(*fd));
  channel_->send(static_cast<std::uint16_t>(Channel::TaskAgain), pack(*task), std::move(fds));
}

void Init::restore(const Restore& order) {
  WorkerTask task = prepare_task(order);
  if (stage_ != Stage::Empty || !task.socket || !task.ring) return;
  stage_ = Stage::Restoring;
  use_pipes();  // whether it has a terminal is only known when that is made again
  task.stream_fds = {input_->job_end(), output_[0]->job_end(), output_[1]->job_end()};
  fork_worker(std::move(task), [](WorkerTask t) { run_destination_worker(std::move(t)); });
}

void Init::on_channel(Frame&& frame) {
  switch (static_cast<Channel>(frame.type)) {
    case Channel::Snapshot: {
      frozen_ = true;
      // Whatever the worker finds in a terminal it puts back: that must not wake us again and again.
      if (terminal_ && std::exchange(output_watched_[0], false)) loop_.forget(output_[0]->own_end());
      if (terminal_ && input_->own_end() >= 0) loop_.change(input_->own_end(), 0);
      JobContext context{facts_, input_->snapshot(), {output_[0]->snapshot(), output_[1]->snapshot()}, {}, {}};
      if (pipe_) context.pipe = pipe_->snapshot();
      context.facts.cpu_ns += cpu_time_of(root_);
      channel_->send(static_cast<std::uint16_t>(Channel::SnapshotIs), pack(context));
      return;
    }
    case Channel::EndSent:
      past_end_ = true;
      return;
    case Channel::Thawed: {
      auto thawed = unpack<ThawedHere>(frame.payload);
      if (work_ == Work::Hold) return on_hold_over(std::move(thawed));
      known_waits_ = std::move(thawed.known_waits);
      return go_on_here(thawed.reason);
    }
    case Channel::Moved:
      moved_away_ = true;
      return;
    case Channel::ReadySent:
      past_end_ = !start_;
      return adopt(unpack<JobContext>(frame.payload), channel_->take_fd());
    case Channel::Resumed:
      return running_here(unpack<ResumedHere>(frame.payload));
    case Channel::Lingering:
      return give_to_lingering_worker();
    case Channel::Held:
      return on_held();
    case Channel::CheckpointDone:
      return on_checkpoint_done(unpack<CheckpointDone>(frame.payload));
    case Channel::RestoreFailed:
      return on_restore_failed(unpack<StartFailed>(frame.payload));
    default:
      return;
  }
}

void Init::go_on_here(const std::string& why) {
  past_end_ = false;
  stage_ = Stage::Running;
  // The register may hold an entry for the epoch of the move, and for the one after it (a hand-back): neither is used
  // again.
  if (work_ == Work::Move) facts_.epoch = move_epoch_ + 1;
  // In this order: who hears that it goes on here may begin the next move at once, under the next epoch.
  tell(Type::Welcome, describe());
  if (work_ == Work::Move) tell(Type::Thawed, Text{why});
  let_streams_flow();
}

void Init::let_streams_flow() {
  frozen_ = false;
  for (const int signo : std::exchange(held_signals_, {})) deliver(signo);
  feed_input();
  for (const int stream : {0, 1}) drain_output(stream);
  if (root_dead_ && stage_ == Stage::Running) on_root_exit(root_status_);
}

void Init::adopt(const JobContext& context, UniqueFd terminal) {
  if (start_) {
    facts_.cpu_ns = context.facts.cpu_ns;
    facts_.terminal = context.facts.terminal;
  } else {
    const std::int64_t job = facts_.job;
    facts_ = context.facts;
    facts_.job = job;
    facts_.epoch = move_epoch_;
    facts_.moves += 1;
  }
  // What was made for it is the job's standard input, beside a terminal.
  if (facts_.piped) pipe_ = std::exchange(input_, std::make_unique<InputStream>());
  if (terminal)
    use_terminal(JobTerminal(std::move(terminal)));
  else if (facts_.terminal)  // its session has let go of it: what it writes elsewhere is not ours
    use_terminal(JobTerminal(WindowSize{}));
  input_->adopt(context.input);
  if (pipe_) pipe_->adopt(context.pipe);
  for (const std::size_t stream : {0U, 1U}) {
    output_[stream]->adopt(start_ ? continued(context.output[stream], stream) : context.output[stream]);
    sent_[stream] = output_[stream]->acked();
  }
}

void Init::running_here(const ResumedHere& resumed) {
  root_ = resumed.root_pid;
  if (const auto early = ended_early_.find(root_); early != ended_early_.end()) {
    root_dead_ = true;
    root_status_ = early->second;
  }
  ended_early_.clear();
  known_waits_ = resumed.known_waits;
  stage_ = Stage::Running;
  facts_.arrived_ns = realtime_ns();
  for (auto& stream : output_) stream->close_job_end();
  if (std::exchange(start_, std::nullopt)) {
    facts_.started_ns = facts_.arrived_ns;
    tell(Type::Started, Started{root_, facts_.started_ns});
    tell(Type::Welcome, describe());
  } else {
    tell(Type::Running, RunningHere{describe(), resumed.times, resumed.made_files});
  }
  watch_streams();
  feed_input();
  // It may have ended before we heard that it runs.
  if (root_dead_) on_root_exit(root_status_);
}

void Init::on_worker_exit() {
  // What the worker said last is still in the channel. Nothing else is looked at meanwhile: an order to dump would fork
  // the next worker, and this one's end be taken for its.
  channel_->receive_rest();
  channel_.reset();
  // Also of one that died when the job went on already, or was held.
  if (checkpointing_) on_checkpoint_done({"the dumping worker died", 0, 0});
  if (stage_ == Stage::Running && waiting_task_) {
    const auto task = std::move(waiting_task_);
    return fork_source_worker(std::move(*task));
  }
  if (is_held()) return hold_lost();
  if (stage_ == Stage::Dumping) return source_worker_gone();
  if (stage_ == Stage::Restoring) return destination_worker_gone();
}

void Init::source_worker_gone() {
  if (moved_away_) {
    tell(Type::MovedAway, held_signals_);
    done_ = true;
    return;
  }
  if (!past_end_) {
    // It died before END: the kernel let the job go on.
    if (work_ == Work::Move) tell(Type::WorkerGone, Text{"the worker died before the image was complete"});
    return go_on_here("the worker died");
  }
  // It died after END, and the job's copy with it (PTRACE_O_EXITKILL). If the register is still free, nobody else will
  // run the job and its end must be told here; else it runs at the destination.
  settler_ = fork_aside(namespaces_);
  if (settler_ == 0) {
    keep_only({});
    default_signals();
    run_settle(job_dir(), move_epoch_, source_);
  }
}

void Init::destination_worker_gone() {
  kill_all();
  if (start_) return on_restore_failed({0, "restore", "the restoring worker died", false});
  if (!past_end_) {
    tell(Type::WorkerGone, Text{"the restoring worker died or gave up"});
    done_ = true;
    return;
  }
  settler_ = fork_aside(namespaces_);
  if (settler_ == 0) {
    keep_only({});
    default_signals();
    run_handback(job_dir(), move_epoch_, source_, destination_);
  }
}

}  // namespace drover::shepherd
