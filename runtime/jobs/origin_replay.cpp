// The jobs of an earlier world, from this node's event log: each event does to a job what was done when it was written.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "runtime/jobs/origin.h"
#include "runtime/jobs/spec_json.h"

namespace drover {

using nlohmann::json;

namespace {
constexpr auto kHeardBy = std::chrono::seconds(20);  // documented in drover-submit(1)
}

void OriginJobs::replay(const std::string& line) {
  starting_ = true;  // nothing does before this node knows which jobs it has
  const json event = json::parse(line, nullptr, false);
  if (!event.is_object()) return;
  const auto id = event.value("job", std::int64_t{0});
  const auto name = event.value("event", "");
  if (name == "archived") return replay_archived(event);
  if (name == "submitted") {
    OriginJob& job = jobs_[id];
    job.id = id;
    if (event.contains("array"))
      replay_task(job, event);
    else
      job.spec = spec_from_json(event.at("spec"));
    job.brief = true;
    if (!job.spec.array.empty()) job.tasks = {.count = count_tasks(job.spec)};
    job.submitted_ns = event.value("time_ns", std::uint64_t{0});
    next_id_ = std::max(next_id_, id + 1);
    return;
  }
  OriginJob* job = find(id);
  if (job == nullptr) return;
  if (name == "starting") {
    job->state = JobState::Starting;
    job->epoch = first_epoch(job->attempt);
  } else if (name == "retrying") {
    replay_retry(*job, event);
  } else if (name == "signalled") {
    job->signals |= std::uint64_t{1} << (event.value("signal", 0) % 64);
  } else if (name == "started") {
    job->state = JobState::Running;
    job->epoch = event.value("epoch", std::int64_t{0});
    job->started_ns = event.value("time_ns", std::uint64_t{0});
    job->why = event.value("why", "");
    job->place = cluster_.rank_of(event.value("place", ""));
    task_started(*job);
  } else if (name == "cancelled") {
    job->error = event.value("reason", "");
    if (job->tasks) job->tasks->cancelled = true;
  } else if (name == "moved") {
    job->moves = event.value("moves", 0U);
    job->frozen_ns = event.value("frozen_ns", std::uint64_t{0});
    job->epoch = event.value("epoch", std::int64_t{0});
    job->place = cluster_.rank_of(event.value("place", ""));
  } else if (name == "held" || name == "released") {
    count_hold(*job, name == "held", event.value("time_ns", std::uint64_t{0}), event.value("reason", ""));
  } else if (name == "checkpoint") {
    job->checkpoint_tried_ns = event.value("time_ns", std::uint64_t{0});
    if (!event.value("ok", false)) return;
    job->checkpoint = event.value("path", "");
    job->may_go_on = true;
    job->checkpoint_ns = event.value("time_ns", std::uint64_t{0});
  } else if (name == "detached" || name == "attached") {
    job->desk.kept = name == "detached";
  } else if (name == "time-limit") {
    job->time_limit_ns = event.value("time_ns", std::uint64_t{0});
  } else if (name == "ended" || name == "failed" || name == "lost") {
    replay_end(*job, event);
  }
}

void OriginJobs::replay_end(OriginJob& job, const json& event) {
  const auto name = event.value("event", "");
  job.ended_ns = event.value("time_ns", std::uint64_t{0});
  if (name != "ended") {
    job.state = name == "failed" ? JobState::Failed : JobState::Lost;
    job.error = event.value("error", "");
    job.error_code = event.value("code", "");
    return;
  }
  job.state = JobState::Ended;
  job.wait_status = event.value("wait_status", 0);
  job.cpu_seconds = event.value("cpu_seconds", 0.0);
  job.max_rss_kib = event.value("memory_kib", std::uint64_t{0});
  job.moves = event.value("moves", job.moves);
  if (job.time_limit_ns == 0) job.error = event.value("reason", "");
  if (job.tasks) job.tasks->succeeded = event.value("succeeded", std::uint64_t{0});
  if (job.tasks) job.tasks->failed = event.value("failed", std::uint64_t{0});
}

void OriginJobs::end_replay() {
  starting_ = true;
  std::vector<OriginJob*> ended;
  for (auto& [id, job] : jobs_)
    if (over(job)) ended.push_back(&job);
  std::sort(ended.begin(), ended.end(),
            [](const OriginJob* a, const OriginJob* b) { return a->ended_ns < b->ended_ns; });
  for (OriginJob* job : ended) list_ended(*job);
  for (auto& [id, job] : jobs_) {
    if (over(job)) count_hold(job, false, job.ended_ns);
    if (over(job)) count_task(job);
    if (over(job) && job.tasks) continue;
    if (over(job)) {
      try {
        name_streams(job);  // for who asks what it wrote
      } catch (const std::invalid_argument& error) {
        spdlog::error("job {}: {}", id, error.what());
      }
      continue;
    }
    job.detached_ns = job.spec.attached && !job.desk.kept ? monotonic_ns() : 0;
    if (job.state == JobState::Queued || job.tasks) {
      wait_again(job);
      if (job.tasks && job.tasks->is_over() && !over(job)) end_array(job);
      continue;
    }
    std::string error;
    job.doubt = "waiting for its shepherd";
    job.opened = true;
    if (!open_streams(job, error)) spdlog::error("job {}: {}", id, error);
    job.unheard = true;
    cluster_.loop().after(kHeardBy, [this, id = id] { miss(id); });
  }
  starting_ = false;
}

// A shepherd that is there says so within moments of the start; one that is not there will not. Of a node that does not
// answer nobody knows what is there: give_up_place().
void OriginJobs::miss(std::int64_t id) {
  OriginJob* job = find(id);
  if (job == nullptr || over(*job) || !job->unheard) return;
  if (job->place >= 0 && cluster_.lost(job->place)) {
    cluster_.loop().after(kHeardBy, [this, id] { miss(id); });
    return;
  }
  if (may_retry(*job)) return retry(*job, "no node has it any more", Failure::PlaceSilent);
  job->state = JobState::Lost;
  job->error = "no node has it any more";
  job->ended_ns = realtime_ns();
  log(*job, "lost", {{"error", job->error}});
  finish_if_drained(*job);
}

}  // namespace drover
