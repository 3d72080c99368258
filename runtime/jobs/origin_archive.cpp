// A bound for what droverd remembers: of the jobs that have ended the newest stay in memory, the others go to the
// archive.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "runtime/jobs/job_archive.h"
#include "runtime/jobs/origin.h"

namespace drover {

using nlohmann::json;

namespace {
constexpr std::size_t kMostArchived = 100;  // at a time: the loop has other things to do
}

void OriginJobs::list_ended(OriginJob& job) {
  if (!std::exchange(job.listed, true)) ended_.push_back(job.id);
}

// One that was lost, or was given up on a node that did not answer, may be heard of again; an image of one that has
// ended meanwhile may still be reported.
bool OriginJobs::is_spoken_of(const OriginJob& job) const {
  return job.state == JobState::Lost || job.left_behind ||
         std::any_of(checkpoints_.begin(), checkpoints_.end(),
                     [&](const auto& request) { return request.second.job == job.id; });
}

void OriginJobs::archive_old() {
  if (archiving_ || ended_.size() <= view_.keep_finished) return;
  struct Batch {
    std::vector<std::pair<std::int64_t, std::string>> jobs;
    bool written = false;
    std::string error;
  };
  const auto batch = std::make_shared<Batch>();
  for (std::size_t i = std::min(kMostArchived, ended_.size() - view_.keep_finished); i > 0; --i) {
    const std::int64_t id = ended_.front();
    ended_.pop_front();
    const OriginJob* job = find(id);
    if (job == nullptr || !over(*job)) continue;
    if (is_spoken_of(*job))
      ended_.push_back(id);
    else
      batch->jobs.emplace_back(id, describe(*job).dump(-1, ' ', false, json::error_handler_t::replace));
  }
  if (batch->jobs.empty()) return;
  archiving_ = true;
  cluster_.in_background(
      [batch, dir = cluster_.paths().archive_dir(), node = cluster_.self_name()] {
        try {
          archive_jobs(dir, node, batch->jobs);
          batch->written = true;
        } catch (const std::exception& error) {
          batch->error = error.what();
        }
      },
      [this, batch] {
        archiving_ = false;
        if (!batch->written) {
          if (!std::exchange(archive_refused_, true))
            spdlog::error("jobs that ended long ago stay in memory: {}", batch->error);
          for (auto job = batch->jobs.rbegin(); job != batch->jobs.rend(); ++job) ended_.push_front(job->first);
          return;
        }
        archive_refused_ = false;
        json ids = json::array();
        for (const auto& [id, text] : batch->jobs) {
          if (const OriginJob* job = find(id); job == nullptr || !over(*job)) continue;
          ids.push_back(id);
          jobs_.erase(id);
        }
        cluster_.log_event(json{{"event", "archived"}, {"jobs", std::move(ids)}}.dump());
        archive_old();
      });
}

void OriginJobs::replay_archived(const json& event) {
  for (const std::int64_t id : event.value("jobs", std::vector<std::int64_t>{})) {
    OriginJob* job = find(id);
    if (job == nullptr) continue;
    count_in_array(*job);
    jobs_.erase(id);
  }
}

}  // namespace drover
