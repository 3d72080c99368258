// A job's time limit: at its end SIGTERM as by `drover kill`, and SIGKILL to all of it when it has not ended by the end
// of the grace. The log has the first of the two, so that the next world goes on where this one was.
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include "runtime/control/duration.h"
#include "runtime/jobs/origin.h"

namespace drover {

namespace {
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kGraceNs = 10 * kSecondNs;  // documented in drover-submit(1)
}  // namespace

std::string OriginJobs::time_limit_text(const OriginJob& job) {
  if (job.time_limit_ns == 0) return {};
  const char* verb = over(job) ? "ended by" : "ending by";
  return fmt::format("{} its time limit of {}", verb, duration_text(job.spec.time_limit_s));
}

void OriginJobs::enforce_time_limit(OriginJob& job, std::uint64_t now_ns) {
  // One whose end has been heard only waits for its output to be written.
  if (job.spec.time_limit_s == 0 || job.started_ns == 0 || ends_.count(job.id) != 0) return;
  if (job.time_limit_ns != 0) {
    // Again and again: one that was sent to a place that is none any more is lost.
    if (now_ns >= job.time_limit_ns + kGraceNs) signal(job, SIGKILL);
    return;
  }
  // During a move, or before its shepherd has been heard, nobody knows where a signal must go.
  // The time for which it is held does not count.
  const bool reachable = job.state == JobState::Running && job.doubt.empty() && !job.held;
  if (!reachable || now_ns < job.started_ns + held_ns(job, now_ns) + job.spec.time_limit_s * kSecondNs) return;
  job.time_limit_ns = now_ns;
  spdlog::info("job {}: its time limit of {} is over", job.id, duration_text(job.spec.time_limit_s));
  log(job, "time-limit", {{"limit_s", job.spec.time_limit_s}, {"grace_s", kGraceNs / kSecondNs}});
  signal(job, SIGTERM);
  signal(job, SIGCONT);  // one that is stopped would never see the first
}

}  // namespace drover
