#include "runtime/jobs/placed.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ckpt/sys/error.h"
#include "runtime/jobs/attempt.h"
#include "runtime/migrate/fault.h"

namespace drover {

using shepherd::Stage;
using shepherd::Type;

namespace {
// Output that waits for a rank beyond this is not read from the shepherd any more: it stays in the job's pipe.
constexpr std::size_t kMaxOutputBacklog = 512 * 1024;
}  // namespace

PlacedJobs::PlacedJobs(Cluster& cluster, UniqueFd spawner, std::vector<std::int32_t> cpus)
    : cluster_(cluster), spawner_(std::move(spawner)), cpus_(std::move(cpus)) {
  char bytes[4096];
  const ssize_t n = check(::recv(spawner_.get(), bytes, sizeof bytes, 0), "receive", "spawner");
  if (n == 0) throw std::runtime_error("the spawner of this node has ended while the world was starting");
  const auto hello = unpack<shepherd::SpawnerHello>({bytes, static_cast<std::size_t>(n)});
  if (!hello.namespaces) no_namespaces_ = hello.why_not;
  cluster_.loop().watch(spawner_.get(), EPOLLIN, [this](std::uint32_t) { on_spawner(); });
}

PlacedJob* PlacedJobs::find(std::int64_t job) {
  const auto found = jobs_.find(job);
  return found == jobs_.end() ? nullptr : &found->second;
}

std::vector<pid_t> PlacedJobs::init_pids() const {
  std::vector<pid_t> pids;
  for (const auto& [id, job] : jobs_)
    if (job.init_pid > 0) pids.push_back(job.init_pid);
  return pids;
}

std::size_t PlacedJobs::count() const { return jobs_.size() + dismissed_.size(); }

double PlacedJobs::demand() const {
  double sum = 0;
  for (const auto& [id, job] : jobs_)
    if (!job.moving_out && job.stage != Stage::Held) sum += job.demand;
  return sum;
}

void PlacedJobs::measured(const std::map<pid_t, double>& runnable_by_init) {
  for (auto& [id, job] : jobs_) {
    const auto found = runnable_by_init.find(job.init_pid);
    if (found == runnable_by_init.end() || job.stage != shepherd::Stage::Running || job.moving_out) continue;
    job.demand = (job.demand + found->second) / 2;
  }
}

int PlacedJobs::cpus() const {
  int sum = 0;
  for (const auto& [id, job] : jobs_)
    if (job.stage != Stage::Ended && job.stage != Stage::Held) sum = std::min(sum + job.facts.cpus, kMostCpus);
  return sum;
}

void PlacedJobs::reserve(std::int64_t id, int cpus) {
  if (const PlacedJob* known = find(id); known != nullptr && !known->reserved) return;  // an earlier attempt
  auto& job = jobs_[id];
  job.facts.job = id;
  job.facts.cpus = cpus;
  job.reserved = true;
  job.known_since_ns = monotonic_ns();
  // The origin may die before it orders: a reservation is no promise for ever.
  cluster_.loop().after(std::chrono::seconds(10), [this, id] { release(id); });
}

void PlacedJobs::release(std::int64_t id) {
  const PlacedJob* job = find(id);
  if (job != nullptr && job->reserved) jobs_.erase(id);
}

void PlacedJobs::place(int from, PlaceOrder order) {
  fault_point("place.ordered");
  const std::int64_t id = order.facts.job;
  if (wait_for_attempt(from, order)) return;
  PlacedJob& job = jobs_[id];
  job.reserved = false;
  job.facts = order.facts;
  job.stage = Stage::Starting;
  job.known_since_ns = monotonic_ns();
  if (!order.spec.namespaces)
    job.facts.pinned = "runs without namespaces of its own (--no-namespace)";
  else if (!no_namespaces_.empty())
    job.facts.pinned = "this host gives no namespaces: " + no_namespaces_;
  else if (order.spec.pinned)
    job.facts.pinned = "submitted with --pin";
  job.facts.pinned_here = !job.facts.pinned.empty();
  job.facts.terminal = order.spec.terminal;
  job.facts.piped = order.spec.piped;
  order.facts = job.facts;
  const bool namespaces = order.spec.namespaces;
  job.order = std::move(order);
  spdlog::debug("job {} is to start here, says rank {}", id, from);
  spawn(job, namespaces);
}

PlacedJob& PlacedJobs::expect_restore(const shepherd::JobFacts& facts, std::int64_t epoch) {
  if (find(facts.job) != nullptr) throw std::runtime_error(fmt::format("job {} is here already", facts.job));
  if (!no_namespaces_.empty()) throw std::runtime_error("this host gives no namespaces: " + no_namespaces_);
  PlacedJob& job = jobs_[facts.job];
  job.facts = facts;
  job.facts.epoch = epoch;
  job.stage = Stage::Restoring;
  job.moving_in = true;
  job.known_since_ns = monotonic_ns();
  spawn(job, true);
  return job;
}

void PlacedJobs::tell(PlacedJob& job, Type type, const std::string& payload, std::vector<UniqueFd> fds) {
  if (job.link) job.link->send(static_cast<std::uint16_t>(type), payload, std::move(fds));
}

void PlacedJobs::tell_origin(const PlacedJob& job, Msg type, std::string payload) {
  const int origin = cluster_.rank_of(job.facts.origin);
  if (origin >= 0) cluster_.send_bytes(origin, type, std::move(payload));
}

void PlacedJobs::kill_all() {
  for (auto& [id, job] : jobs_) {
    if (job.stage == Stage::Ended)
      tell(job, Type::EndedAck, {});
    else
      tell(job, Type::Quit, {});
  }
  std::erase_if(jobs_, [](const auto& entry) { return entry.second.reserved; });
  for (const auto& [id, waiting] : std::exchange(waiting_, {})) {
    const auto& facts = waiting.order.facts;
    const PlaceFailed failed{id, facts.epoch, {ECANCELED, "start", "the world ends", false}};
    cluster_.send(waiting.from, Msg::PlaceFailed, failed);
  }
}

void PlacedJobs::remove(std::int64_t id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  if (found->second.link) retired_.push_back(std::move(found->second.link));
  jobs_.erase(found);
  // Links are dropped from the loop, not from inside one of their own handlers.
  place_later(id);
}

void PlacedJobs::on_closed(const LinkKey& key) {
  const std::int64_t id = key.first;
  PlacedJob* job = find(id);
  if (job == nullptr || job->link_epoch != key.second) return on_dismissed_closed(key);
  finish_checkpoint(*job, {"its shepherd died", 0, 0});
  if (mover_.shepherd_lost) mover_.shepherd_lost(*job);
  job = find(id);
  if (job == nullptr) return;
  if (job->stage == Stage::Starting && job->order) {
    const PlaceFailed failed{id, job->facts.epoch, {EIO, "start", "the shepherd died", false}};
    tell_origin(*job, Msg::PlaceFailed, pack(failed));
  } else if (job->stage == Stage::Running || job->stage == Stage::Starting || job->is_held()) {
    // PID 1 is gone and with it, at the kernel's hand, every process of the job.
    tell_origin(*job, Msg::JobEnded, pack(JobEnded{id, job->facts.epoch, {SIGKILL, 0, 0, realtime_ns()}, false, true}));
  }
  remove(id);
}

// By SIGKILL, or a program that it ran was, as a shell tells it.
static bool was_killed(int wait_status) {
  return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) == SIGKILL : WEXITSTATUS(wait_status) == 128 + SIGKILL;
}

void PlacedJobs::on_frame(const LinkKey& key, Frame&& frame) {
  const std::int64_t id = key.first;
  PlacedJob* found = find(id);
  if (found == nullptr || found->link_epoch != key.second) return on_dismissed_frame(key, frame);
  PlacedJob& job = *found;
  const std::string& payload = frame.payload;
  switch (static_cast<Type>(frame.type)) {
    case Type::Welcome:
      return on_welcome(job, unpack<shepherd::Welcome>(payload));
    case Type::Started: {
      const auto started = unpack<shepherd::Started>(payload);
      job.stage = Stage::Running;
      job.root_pid = started.root_pid;
      job.facts.started_ns = started.started_ns;
      job.order.reset();
      tell_origin(job, Msg::Placed,
                  pack(Placed{id, job.facts.epoch, started.root_pid, started.started_ns, job.facts.pinned}));
      for (const int signo : std::exchange(job.held_signals, {})) tell(job, Type::Signal, pack(signo));
      return;
    }
    case Type::StartFailed:
      tell_origin(job, Msg::PlaceFailed,
                  pack(PlaceFailed{id, job.facts.epoch, unpack<shepherd::StartFailed>(payload)}));
      tell(job, Type::EndedAck, {});
      return remove(id);
    case Type::Output:
    case Type::OutputEnd:
    case Type::InputAck:
      return forward_output(job, frame);
    case Type::Ended: {
      const auto ended = unpack<shepherd::Ended>(payload);
      job.stage = Stage::Ended;
      const std::uint64_t used_here = ended.cpu_ns - std::min(ended.cpu_ns, job.facts.cpu_ns);
      if (job.init_pid > 0) ended_[job.init_pid] = static_cast<double>(used_here) / 1e9;
      if (mover_.ended) mover_.ended(job);
      finish_checkpoint(job, {"it has ended", 0, 0});
      const bool out_of_memory =
          was_killed(ended.wait_status) && mover_.killed_for_memory && mover_.killed_for_memory();
      return tell_origin(job, Msg::JobEnded, pack(JobEnded{id, job.facts.epoch, ended, out_of_memory}));
    }
    case Type::Running: {
      auto running = unpack<shepherd::RunningHere>(payload);
      job.moving_in = false;
      job.facts = running.welcome.facts;
      mover_.running(job, running);
      running.welcome.facts = job.facts;  // with what the move took
      return on_welcome(job, running.welcome);
    }
    case Type::Superseded:
      remove(id);
      return superseded_();
    case Type::Thawed:
      return mover_.thawed(job, unpack<shepherd::Text>(payload).text);
    case Type::MovedAway:
      return mover_.moved_away(job, unpack<std::vector<std::int32_t>>(payload));
    case Type::WorkerGone:
      return mover_.worker_gone(job);
    case Type::HandedBack:
      return mover_.handed_back(job);
    case Type::HoldFailed:
      return hold_failed(job, unpack<shepherd::Text>(payload).text);
    case Type::CheckpointDone:
      return finish_checkpoint(job, unpack<shepherd::CheckpointDone>(payload));
    default:
      return;
  }
}

void PlacedJobs::on_welcome(PlacedJob& job, const shepherd::Welcome& welcome) {
  const bool first = !std::exchange(job.welcomed, true);
  if (first && job.order && !job.order->spec.image.empty()) return start_of_image(job.facts.job);
  if (first && job.order) {
    const PlaceOrder& order = *job.order;
    return tell(job, Type::Start, pack(shepherd::Start{order.facts, order.spec, order.claim}));
  }
  if (first && job.moving_in) return mover_.ready_to_restore(job);
  if (first && welcome.stage == Stage::Empty) return tell(job, Type::Quit, {});
  job.facts = welcome.facts;
  job.stage = welcome.stage;
  if (job.stage != Stage::Holding) job.holding = false;
  job.root_pid = welcome.root_pid;
  job.pipe_device = welcome.pipe_device;
  job.pipe_inodes = welcome.pipe_inodes;
  tell_origin(job, Msg::PlaceIs, pack(PlaceIs{welcome}));
}

void PlacedJobs::forward_output(PlacedJob& job, const Frame& frame) {
  const std::int64_t id = job.facts.job;
  const int attempt = attempt_of(job.facts.epoch);
  switch (static_cast<Type>(frame.type)) {
    case Type::Output:
      job.stream_bytes.arrived(static_cast<double>(monotonic_ns()) / 1e9, static_cast<double>(frame.payload.size()));
      tell_origin(job, Msg::JobOutput, pack(JobChunk{id, attempt, unpack<shepherd::Chunk>(frame.payload)}));
      if (!throttling_ && cluster_.backlog_bytes(std::max(0, cluster_.rank_of(job.facts.origin))) > kMaxOutputBacklog)
        throttle();
      return;
    case Type::OutputEnd:
      return tell_origin(job, Msg::JobOutputEnd, pack(JobMark{id, attempt, unpack<shepherd::Mark>(frame.payload)}));
    default:
      return tell_origin(job, Msg::JobInputAck, pack(JobMark{id, attempt, unpack<shepherd::Mark>(frame.payload)}));
  }
}

// A slow origin stops its own jobs' shepherds only.
void PlacedJobs::throttle() {
  throttling_ = false;
  for (auto& [id, job] : jobs_) {
    const int origin = cluster_.rank_of(job.facts.origin);
    const bool full = origin >= 0 && cluster_.backlog_bytes(origin) > kMaxOutputBacklog;
    if (job.link) job.link->pause_reading(full);
    throttling_ = throttling_ || full;
  }
  if (throttling_) cluster_.loop().after(std::chrono::milliseconds(5), [this] { throttle(); });
}

void PlacedJobs::handle(int from, Msg type, const std::string& payload) {
  switch (type) {
    case Msg::Place:
      return place(from, unpack<PlaceOrder>(payload));
    case Msg::JobOutputAck: {
      const auto mark = unpack<JobMark>(payload);
      if (PlacedJob* job = find_attempt(mark.job, mark.attempt)) tell(*job, Type::OutputAck, pack(mark.mark));
      return;
    }
    case Msg::JobInput: {
      const auto chunk = unpack<JobChunk>(payload);
      PlacedJob* const job = find_attempt(chunk.job, chunk.attempt);
      if (job == nullptr) return;
      job->stream_bytes.arrived(static_cast<double>(monotonic_ns()) / 1e9, static_cast<double>(payload.size()));
      tell(*job, Type::Input, pack(chunk.chunk));
      return;
    }
    case Msg::JobInputEnd: {
      const auto mark = unpack<JobMark>(payload);
      if (PlacedJob* job = find_attempt(mark.job, mark.attempt)) tell(*job, Type::InputEnd, pack(mark.mark));
      return;
    }
    case Msg::JobSignal: {
      const auto signal = unpack<JobSignal>(payload);
      PlacedJob* job = find_attempt(signal.job, signal.attempt);
      if (job == nullptr) return;
      // Before it runs and while it moves out a signal waits: it goes to the copy that lives in the end.
      if (job->stage == Stage::Starting || job->moving_in)
        job->held_signals.push_back(signal.signo);
      else
        tell(*job, Type::Signal, pack(signal.signo));
      return;
    }
    case Msg::JobHold:
      return hold(from, unpack<JobHold>(payload));
    case Msg::JobCheckpoint:
      return checkpoint(from, unpack<JobCheckpoint>(payload));
    case Msg::JobWindow: {
      const auto window = unpack<JobWindow>(payload);
      if (PlacedJob* job = find_attempt(window.job, window.attempt)) tell(*job, Type::Window, pack(window.size));
      return;
    }
    case Msg::JobEndedAck: {
      const auto mark = unpack<JobMark>(payload);
      PlacedJob* job = find_attempt(mark.job, mark.attempt);
      if (job == nullptr || job->stage != Stage::Ended) return;
      tell(*job, Type::EndedAck, {});
      return remove(mark.job);
    }
    case Msg::JobOutdated: {
      const auto mark = unpack<JobMark>(payload);
      PlacedJob* job = find(mark.job);
      if (job != nullptr && attempt_of(job->facts.epoch) < mark.attempt) dismiss(*job);
      return;
    }
    default:
      return;
  }
}

}  // namespace drover
