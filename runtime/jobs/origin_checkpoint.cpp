// `drover checkpoint` at a job's origin: its node writes the image.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "runtime/control/path_pattern.h"
#include "runtime/jobs/checkpoint_record.h"
#include "runtime/jobs/origin.h"

namespace drover {

namespace {
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kPatienceNs = 30'000'000'000ULL;  // with a move that is under way
constexpr auto kPause = std::chrono::milliseconds(100);
}  // namespace

const std::string& OriginJobs::image_of(const OriginJob& job) {
  return job.retry_image.empty() ? job.spec.image : job.retry_image;
}

// What comes of it is in the event log: a job goes on without a new image, too.
void OriginJobs::checkpoint_in_time(OriginJob& job, std::uint64_t now_ns) {
  const bool reachable = job.state == JobState::Running && job.doubt.empty() && !job.held && ends_.count(job.id) == 0;
  const std::uint64_t last_ns = std::max(job.started_ns, job.checkpoint_tried_ns);
  if (job.spec.checkpoint_every_s == 0 || !reachable || now_ns < last_ns + job.spec.checkpoint_every_s * kSecondNs)
    return;
  for (const auto& [number, request] : checkpoints_)
    if (request.job == job.id) return;
  job.checkpoint_tried_ns = now_ns;
  checkpoint(job, cluster_.paths().job_dir(job.id) + "/checkpoint", [](const shepherd::CheckpointDone&) {});
}

void OriginJobs::checkpoint(OriginJob& job, const std::string& path, CheckpointEnd done) {
  if (job.spec.piped) return done({"its standard input is a pipe from another program, which no image holds", 0, 0});
  const std::uint64_t request = next_request_++;
  checkpoints_[request] = {job.id, -1, path, std::move(done), monotonic_ns() + kPatienceNs};
  send_checkpoint(request);
}

// Names that are the job's own for good, whatever its number.
static CheckpointRecord record_of(const OriginJob& job, const std::string& origin, const std::string& job_dir) {
  CheckpointRecord record{job.id, origin, job.spec};
  JobSpec& spec = record.spec;
  spec.env.clear();
  spec.limits.clear();
  spec.after.clear();
  spec.node.clear();
  spec.image.clear();
  spec.truncate = false;
  spec.hold = false;
  const auto kept = [&](const std::string& path) { return path.rfind(job_dir + "/", 0) == 0; };
  const auto name = [&](const std::string& path) { return kept(path) ? "" : escape_path_pattern(path); };
  spec.stdin_path = name(job.stdin_path);
  spec.stdout_path = name(job.output[0].path);
  spec.stderr_path = name(job.output[1].path);
  return record;
}

void OriginJobs::send_checkpoint(std::uint64_t number) {
  const auto found = checkpoints_.find(number);
  if (found == checkpoints_.end()) return;
  CheckpointRequest& request = found->second;
  const OriginJob& job = jobs_.at(request.job);
  if (over(job)) return answer_checkpoint(number, {"it has ended", 0, 0});
  if (job.state == JobState::Running && job.doubt.empty() && job.place >= 0) {
    request.rank = job.place;
    const CheckpointRecord record = record_of(job, cluster_.self_name(), cluster_.paths().job_dir(job.id));
    return cluster_.send(job.place, Msg::JobCheckpoint,
                         JobCheckpoint{job.id, number, request.path, pack_record(record)});
  }
  const bool lost = job.place >= 0 && cluster_.lost(job.place);
  if (lost || monotonic_ns() > request.deadline_ns)
    return answer_checkpoint(
        number, {job.doubt.empty() ? fmt::format("it is {} still", job_state_name(job.state)) : job.doubt, 0, 0});
  cluster_.loop().after(kPause, [this, number] { send_checkpoint(number); });
}

void OriginJobs::on_checkpointed(const JobCheckpointed& answer) {
  const auto found = checkpoints_.find(answer.request);
  if (found == checkpoints_.end() || found->second.job != answer.job) return;
  if (answer.passing && monotonic_ns() < found->second.deadline_ns) {
    cluster_.loop().after(kPause, [this, number = answer.request] { send_checkpoint(number); });
    return;
  }
  answer_checkpoint(answer.request, answer.done);
}

// Of a node that is gone: whether it has written them nobody knows.
void OriginJobs::fail_checkpoints(int rank) {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, request] : checkpoints_)
    if (request.rank == rank) numbers.push_back(number);
  for (const std::uint64_t number : numbers)
    answer_checkpoint(number, {cluster_.node_name(rank) + " does not answer any more", 0, 0});
}

void OriginJobs::answer_checkpoint(std::uint64_t number, const shepherd::CheckpointDone& done) {
  const auto found = checkpoints_.find(number);
  if (found == checkpoints_.end()) return;
  const CheckpointRequest request = std::move(found->second);
  checkpoints_.erase(found);
  OriginJob& job = jobs_.at(request.job);
  if (done.error.empty()) {
    job.checkpoint = request.path;
    job.may_go_on = true;
    job.checkpoint_ns = realtime_ns();
  }
  log(job, "checkpoint",
      {{"place", request.rank < 0 ? "" : cluster_.node_name(request.rank)},
       {"ok", done.error.empty()},
       {"path", request.path},
       {"image_bytes", done.image_bytes},
       {"frozen_ms", static_cast<double>(done.frozen_ns) / 1e6},
       {"error", done.error}});
  request.done(done);
}

}  // namespace drover
