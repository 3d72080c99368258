#include "runtime/jobs/origin.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include "runtime/jobs/spec_json.h"

namespace drover {

using nlohmann::json;
using shepherd::Stage;

const char* job_state_name(JobState state) {
  switch (state) {
    case JobState::Queued:
      return "queued";
    case JobState::Starting:
      return "starting";
    case JobState::Running:
      return "running";
    case JobState::Moving:
      return "moving";
    case JobState::InDoubt:
      return "in-doubt";
    case JobState::Ended:
      return "ended";
    case JobState::Failed:
      return "failed";
    case JobState::Lost:
      return "lost";
  }
  return "?";
}

OriginJobs::OriginJobs(Cluster& cluster, PlacementView view) : cluster_(cluster), view_(std::move(view)) {}

OriginJob* OriginJobs::find(std::int64_t id) {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : &found->second;
}

std::size_t OriginJobs::unfinished() const {
  std::size_t count = 0;
  for (const auto& [id, job] : jobs_)
    if (!over(job)) ++count;
  return count;
}

void OriginJobs::log(const OriginJob& job, const char* event, json more) {
  more["event"] = event;
  more["job"] = job.id;
  cluster_.log_event(more.dump(-1, ' ', false, json::error_handler_t::replace));
}

json OriginJobs::describe(const OriginJob& job) const {
  json tasks = nullptr;
  if (job.tasks)
    tasks = {{"count", job.tasks->count},
             {"begun", job.tasks->made},
             {"succeeded", job.tasks->succeeded},
             {"failed", job.tasks->failed},
             {"limit", job.spec.array_limit}};
  const bool by_signal = over(job) && WIFSIGNALED(job.wait_status);
  const int status = by_signal ? 128 + WTERMSIG(job.wait_status) : WEXITSTATUS(job.wait_status);
  return {{"job", job.id},
          {"name", job.spec.name},
          {"state", job.held && !over(job) ? "held" : job_state_name(job.state)},
          {"origin", cluster_.self_name()},
          {"node", job.place >= 0 ? cluster_.node_name(job.place) : ""},
          {"argv", strings_to_json(job.spec.argv)},
          {"submitted_ns", job.submitted_ns},
          {"started_ns", job.started_ns},
          {"ended_ns", job.ended_ns},
          {"exit", job.state == JobState::Ended ? json(status) : json(nullptr)},
          {"signal", by_signal ? WTERMSIG(job.wait_status) : 0},
          {"error", !job.error.empty()   ? job.error
                    : !job.doubt.empty() ? job.doubt
                                         : time_limit_text(job)},
          {"code", job.error_code},
          {"pid", job.pid},
          {"cpu_seconds", job.cpu_seconds},
          {"memory_kib", over(job) ? job.max_rss_kib : 0},
          {"moves", job.moves},
          {"frozen_ms", static_cast<double>(job.frozen_ns) / 1e6},
          {"epoch", job.epoch},
          {"attempt", job.attempt},
          {"attempts", job.spec.retries + 1},
          {"last_failure", job.last_failure},
          {"why", job.held && !over(job)                             ? hold_text(job)
                  : job.tasks                                        ? array_text(job)
                  : job.state == JobState::Queued && job.why.empty() ? "waits for its turn"
                                                                     : job.why},
          {"array", job.array},
          {"index", job.array_index},
          {"tasks", tasks},
          {"cpus", job.spec.cpus},
          {"priority", job.spec.priority},
          {"pinned", job.pinned},
          {"terminal", job.spec.terminal},
          {"viewers", job.desk.viewers.size()},
          {"time_limit_s", job.spec.time_limit_s},
          {"hold_reason", job.hold_reason},
          {"held_s", held_ns(job, realtime_ns()) / 1'000'000'000},
          {"checkpoint", job.checkpoint},
          {"checkpoint_ns", job.checkpoint_ns},
          {"stdin", job.stdin_path},
          {"stdout", job.output[0].path},
          {"stderr", job.output[1].path}};
}

void OriginJobs::handle(int from, Msg type, const std::string& payload) {
  switch (type) {
    case Msg::ReserveReply:
      return on_reserve_reply(from, unpack<ReserveReply>(payload));
    case Msg::Placed:
      return on_placed(from, unpack<Placed>(payload));
    case Msg::PlaceFailed:
      return on_place_failed(from, unpack<PlaceFailed>(payload));
    case Msg::PlaceIs:
      return on_place_is(from, unpack<PlaceIs>(payload).job);
    case Msg::JobOutput:
      return on_output(from, unpack<JobChunk>(payload));
    case Msg::JobOutputEnd:
      return on_output_end(from, unpack<JobMark>(payload));
    case Msg::JobInputAck:
      return on_input_ack(unpack<JobMark>(payload));
    case Msg::JobEnded:
      return on_ended(from, unpack<JobEnded>(payload));
    case Msg::JobHoldFailed:
      return on_hold_failed(unpack<JobHoldFailed>(payload));
    case Msg::JobCheckpointed:
      return on_checkpointed(unpack<JobCheckpointed>(payload));
    case Msg::JobMoving: {
      const auto notice = unpack<JobNotice>(payload);
      OriginJob* job = find(notice.job);
      if (job == nullptr || over(*job) || notice.epoch < job->epoch) return;
      job->state = notice.state == "moving"     ? JobState::Moving
                   : notice.state == "in-doubt" ? JobState::InDoubt
                                                : JobState::Running;
      job->doubt = notice.state == "in-doubt" ? notice.text : "";
      job->unheard = false;
      return;
    }
    default:
      return;
  }
}

// The word of the copy that lives: the highest epoch counts.
void OriginJobs::on_place_is(int from, const shepherd::Welcome& welcome) {
  OriginJob* job = find(welcome.facts.job);
  if (job == nullptr) {
    // In the archive: the acknowledgement of its end was lost with a world.
    const JobMark heard{welcome.facts.job, attempt_of(welcome.facts.epoch), {}};
    if (welcome.stage == Stage::Ended) return cluster_.send(from, Msg::JobEndedAck, heard);
    spdlog::warn("node {} has job {} of ours, which the log does not know", cluster_.node_name(from), heard.job);
    return;
  }
  if (is_outdated(from, *job, attempt_of(welcome.facts.epoch)) || welcome.facts.epoch < job->epoch) return;
  if (over(*job) && welcome.stage == Stage::Ended) {
    // Its end was heard, and the acknowledgement lost with a world.
    cluster_.send(from, Msg::JobEndedAck, JobMark{job->id, job->attempt, {}});
    return;
  }
  if (over(*job)) {
    // What lives is the truth: whoever wrote it off could not see it.
    spdlog::warn("job {} was given up as {}, but runs on {}", job->id, job_state_name(job->state),
                 cluster_.node_name(from));
    std::string error;
    job->error.clear();
    job->listed = false;
    uncount_task(*job);
    open_streams(*job, error);
  }
  const bool moved = job->place != from && job->place >= 0;
  job->epoch = welcome.facts.epoch;
  job->place = from;
  job->asked = -1;
  job->pid = welcome.root_pid;
  job->doubt.clear();
  job->unheard = false;
  job->lost_since_ns = 0;
  if (welcome.facts.started_ns != 0) job->started_ns = welcome.facts.started_ns;
  job->moves = std::max(job->moves, welcome.facts.moves);
  job->frozen_ns = std::max(job->frozen_ns, welcome.facts.frozen_ns);
  const bool runs = welcome.stage == Stage::Running, held = welcome.stage == Stage::Held;
  if (runs || held || welcome.stage == Stage::Dumping || welcome.stage == Stage::Holding)
    job->state = JobState::Running;
  if (moved)
    log(*job, "moved",
        {{"place", cluster_.node_name(from)},
         {"epoch", job->epoch},
         {"moves", job->moves},
         {"frozen_ns", job->frozen_ns}});
  if (runs || held) set_held(*job, held);
  tell_placed(*job);
  if (job->spec.terminal) adopt_terminal(*job, welcome);
  for (int stream = 1; stream <= 2; ++stream) {
    // What its shepherd has let go of comes from nowhere again: a device, or a file that somebody has cut, would wait.
    OutputSink& output = job->output[stream - 1];
    const std::uint64_t gone = output.base + welcome.streams.output_acked[stream - 1];
    if (output.file && output.received < gone) output.received = output.safe = gone;
    ack_output(*job, stream);
  }
  // What was sent to the former place and did not travel is sent again from where the present one stands.
  const auto go_on = [&](InputFeed& feed, std::uint8_t stream, std::uint64_t received) {
    feed.sent = std::max(feed.base, received);
    feed.end_sent = false;
    on_input_ack({job->id, job->attempt, {stream, received}});
  };
  go_on(job->input, 0, welcome.streams.input_received);
  if (job->spec.piped) go_on(job->pipe, shepherd::kPipeStream, welcome.streams.pipe_received);
  send_input(*job);
}

void OriginJobs::on_ended(int from, const JobEnded& ended) {
  OriginJob* job = find(ended.job);
  if (job != nullptr && is_outdated(from, *job, attempt_of(ended.epoch))) return;
  if (job == nullptr || over(*job)) {
    cluster_.send(from, Msg::JobEndedAck, JobMark{ended.job, attempt_of(ended.epoch), {}});
    return;
  }
  if (ended.epoch < job->epoch) return;
  job->place = from;
  ends_[job->id] = ended;
  finish_if_drained(*job);
  if (from != cluster_.self()) place_freed(from, job->spec.cpus);
  start_waiting();
}

// A job is over when its end has been heard and every byte before it is safe.
void OriginJobs::finish_if_drained(OriginJob& job) {
  const auto end = ends_.find(job.id);
  if (end != ends_.end()) {
    for (const auto& output : job.output)
      if (output.safe < output.received) return;
    const shepherd::Ended how = end->second.end;
    const bool shepherd_died = end->second.shepherd_died;
    const bool out_of_memory = end->second.out_of_memory && (job.signals >> SIGKILL & 1) == 0;
    ends_.erase(end);
    cluster_.send(job.place, Msg::JobEndedAck, JobMark{job.id, job.attempt, {}});
    job.wait_status = how.wait_status;
    job.cpu_seconds = static_cast<double>(how.cpu_ns) / 1e9;
    job.max_rss_kib = how.max_rss_kib;
    if (how.wait_status != 0 && may_retry(job)) {
      const char* for_memory = out_of_memory ? ", killed by the kernel for want of memory" : "";
      if (shepherd_died) return retry(job, "its shepherd died", Failure::PlaceLost);
      return retry(job, failure_text(how.wait_status) + for_memory, Failure::Program);
    }
    if (out_of_memory && job.time_limit_ns == 0)
      job.error = fmt::format("killed by the kernel on {} for want of memory", cluster_.node_name(job.place));
    if (how.wait_status != 0 && job.attempt <= job.spec.retries && input_is_gone(job))
      job.error = "not started again, since its input can't be read again; give it a file (submit --stdin)";
    job.state = JobState::Ended;
    job.ended_ns = how.ended_ns;
    job.doubt.clear();
    log(job, "ended",
        {{"wait_status", how.wait_status},
         {"cpu_seconds", job.cpu_seconds},
         {"memory_kib", how.max_rss_kib},
         {"moves", job.moves},
         {"place", cluster_.node_name(job.place)},
         {"attempt", job.attempt},
         {"reason", job.error.empty() ? time_limit_text(job) : job.error}});
  }
  if (!over(job)) return;
  count_hold(job, false, job.ended_ns);
  answer_hold(job.id, "refused", fmt::format("job {} has ended already", job.id));
  // Of many jobs the most of what would be kept.
  std::vector<std::string>().swap(job.spec.env);
  std::vector<ResourceLimit>().swap(job.spec.limits);
  std::vector<std::string>().swap(job.spec.array_items);
  for (auto& output : job.output) output.file.reset();
  job.input = job.pipe = {};
  if (job.attachment != nullptr) {
    Attachment* attachment = std::exchange(job.attachment, nullptr);
    for (int stream = 1; stream <= 2; ++stream) attachment->output_end(stream, job.output[stream - 1].received);
    attachment->ended(describe(job));
  }
  for (const Viewer& viewer : std::exchange(job.desk, {}).viewers) {
    viewer.attachment->output_end(1, job.output[0].received);
    viewer.attachment->ended(describe(job));
  }
  // Taken out first: what they do can end other jobs, whose watchers go, too.
  std::vector<std::function<void(const OriginJob&)>> watchers;
  const auto [first, last] = watchers_.equal_range(job.id);
  for (auto watcher = first; watcher != last; ++watcher) watchers.push_back(std::move(watcher->second));
  watchers_.erase(first, last);
  for (const auto& watcher : watchers) watcher(job);
  count_task(job);
  list_ended(job);
}

void OriginJobs::when_over(std::int64_t id, std::function<void(const OriginJob&)> tell) {
  const OriginJob* job = find(id);
  if (job != nullptr && over(*job)) return tell(*job);
  watchers_.emplace(id, std::move(tell));
}

void OriginJobs::signal(OriginJob& job, int signo) {
  if (over(job)) return;
  if (job.tasks) return signal_array(job, signo);
  note_signal(job, signo);
  if (cancel(job, signo)) return;
  if (job.place >= 0) cluster_.send(job.place, Msg::JobSignal, JobSignal{job.id, job.attempt, signo});
}

void OriginJobs::moved(const std::string& event_json) {
  const json event = json::parse(event_json, nullptr, false);
  if (!event.is_object()) return;
  OriginJob* job = find(event.value("job", std::int64_t{0}));
  if (job == nullptr || attempt_of(event.value("epoch", std::int64_t{0})) != job->attempt) return;
  if (event.value("ok", false)) {
    job->why = fmt::format("moved from {}: {}", event.value("from", ""), event.value("reason", ""));
  } else if (!over(*job) && job->state == JobState::Moving) {
    job->state = JobState::Running;
  }
}

void OriginJobs::tick() {
  start_waiting();
  const std::uint64_t now = monotonic_ns(), time_of_day = realtime_ns();
  for (auto& [id, job] : jobs_) {
    if (!over(job) && !job.tasks) enforce_time_limit(job, time_of_day);
    if (!over(job) && !job.tasks) checkpoint_in_time(job, time_of_day);
    if (job.lost_since_ns != 0) give_up_place(job, now);
    if (over(job) || job.detached_ns == 0 || now - job.detached_ns < kReattachNs) continue;
    job.detached_ns = 0;
    spdlog::info("job {}: its launcher is gone, hanging up", id);
    signal(job, SIGHUP);
    if (job.spec.terminal) {
      keep(job, "its launcher is gone, hung up");
      continue;
    }
    // Nobody will ever read it: what it still writes is dropped, so that it can end.
    for (int stream = 1; stream <= 2; ++stream) {
      auto& output = job.output[stream - 1];
      output.safe = output.received;
      output.tail.clear();
      ack_output(job, stream);
    }
    finish_if_drained(job);
  }
  archive_old();
}

}  // namespace drover
