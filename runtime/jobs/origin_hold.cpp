// `drover hold` and `release` at a job's origin. One that waits is simply passed over. Of one that runs its node
// decides: the origin asks, again while something else is being done to the job, and takes for held what the shepherd
// says is.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/jobs/origin.h"

namespace drover {

namespace {
constexpr std::uint64_t kPatienceNs = 30'000'000'000ULL;  // with a move that is under way
constexpr auto kPause = std::chrono::milliseconds(100);
}  // namespace

std::string OriginJobs::hold_text(const OriginJob& job) {
  const bool begun = job.state != JobState::Queued || (job.tasks && job.tasks->made > 0);
  const std::string reason = job.hold_reason.empty() ? "" : fmt::format(" ({})", job.hold_reason);
  return fmt::format("held{}: drover release {} lets it {}", reason, job.id, begun ? "go on" : "start");
}

// The part of a job's time for which it has been held.
std::uint64_t OriginJobs::held_ns(const OriginJob& job, std::uint64_t now_ns) {
  const std::uint64_t begin = std::max(job.held_since_ns, job.started_ns);
  const bool now = job.held && job.started_ns != 0 && now_ns > begin;
  return job.held_ns + (now ? now_ns - begin : 0);
}

void OriginJobs::count_hold(OriginJob& job, bool held, std::uint64_t now_ns, const std::string& reason) {
  if (job.held == held) return;
  job.held_ns = held_ns(job, now_ns);
  job.held = held;
  job.hold_reason = held ? reason : "";
  job.held_since_ns = held ? now_ns : 0;
}

static std::string held_so(const OriginJob& job, bool on) {
  return on ? fmt::format("job {} is held already", job.id) : fmt::format("job {} is not held", job.id);
}

void OriginJobs::hold(OriginJob& job, bool on, const std::string& reason, Held done) {
  if (over(job)) return done("refused", fmt::format("job {} has ended already", job.id));
  if (job.tasks) return hold_array(job, on, reason, done);
  const auto asked = holds_.find(job.id);
  if (asked != holds_.end() && asked->second.on == on)
    return done("conflict", fmt::format("job {} is about to be {} already", job.id, on ? "held" : "released"));
  if (asked == holds_.end() && job.held == on) return done("conflict", held_so(job, on));
  if (job.state == JobState::Queued) {
    hold_waiting(job, on, reason);
    return done("", "");
  }
  answer_hold(job.id, "failed", fmt::format("job {}: it was {} meanwhile", job.id, on ? "held" : "released"));
  const std::uint64_t number = next_request_++;
  holds_[job.id] = {on, number, monotonic_ns() + kPatienceNs, reason, std::move(done)};
  send_hold(job.id, number);
}

void OriginJobs::hold_waiting(OriginJob& job, bool on, const std::string& reason) {
  ask_over(job);
  count_hold(job, on, realtime_ns(), reason);
  log(job, on ? "held" : "released", {{"place", ""}, {"reason", job.hold_reason}});
  if (on) return;
  job.why = job.unmet > 0 ? "waits: for the end of other jobs" : "";
  start_waiting();
}

// No more of its tasks are made, and those that are there are held, each as it is.
void OriginJobs::hold_array(OriginJob& array, bool on, const std::string& reason, const Held& done) {
  if (array.held == on) return done("conflict", held_so(array, on));
  count_hold(array, on, realtime_ns(), reason);
  log(array, on ? "held" : "released", {{"place", ""}, {"reason", array.hold_reason}});
  std::vector<std::int64_t> tasks;
  for (const auto& [id, job] : jobs_)
    if (job.array == array.id && !over(job) && job.held != on) tasks.push_back(id);
  struct Outcome {
    std::size_t missing;
    std::string code, error;
  };
  auto outcome = std::make_shared<Outcome>(Outcome{tasks.size(), "", ""});
  if (tasks.empty()) done("", "");
  for (const std::int64_t id : tasks)
    hold(jobs_.at(id), on, reason, [outcome, done](const std::string& code, const std::string& error) {
      if (outcome->code.empty() && code == "failed") outcome->code = code, outcome->error = error;
      if (--outcome->missing == 0) done(outcome->code, outcome->error);
    });
  if (!on) start_waiting();
}

void OriginJobs::send_hold(std::int64_t id, std::uint64_t number) {
  const auto found = holds_.find(id);
  if (found == holds_.end() || found->second.number != number) return;
  OriginJob& job = jobs_.at(id);
  const HoldRequest& request = found->second;
  if (job.state == JobState::Queued) {  // its attempt has failed meanwhile
    if (job.held != request.on) hold_waiting(job, request.on, request.reason);
    return answer_hold(id, "", "");
  }
  const bool lost = job.place >= 0 && cluster_.lost(job.place);
  if (lost || monotonic_ns() > request.deadline_ns)
    return answer_hold(
        id, "failed",
        fmt::format("job {} could not be {}: {}; try again, or see drover show {}", id,
                    request.on ? "held" : "released",
                    job.doubt.empty() ? fmt::format("it is {} still", job_state_name(job.state)) : job.doubt, id));
  // Its answer may get lost with its node: asked twice it does nothing twice.
  const bool reachable = job.state == JobState::Running && job.doubt.empty() && job.place >= 0;
  if (reachable) cluster_.send(job.place, Msg::JobHold, JobHold{id, request.on});
  cluster_.loop().after(reachable ? 10 * kPause : kPause, [this, id, number] { send_hold(id, number); });
}

void OriginJobs::on_hold_failed(const JobHoldFailed& failed) {
  const auto found = holds_.find(failed.job);
  if (found == holds_.end()) return;
  if (failed.passing) {  // asked again soon
    const std::uint64_t number = found->second.number = next_request_++;
    cluster_.loop().after(kPause, [this, id = failed.job, number] { send_hold(id, number); });
    return;
  }
  answer_hold(failed.job, "failed", fmt::format("job {} can't be held: {}; it runs on", failed.job, failed.error));
}

void OriginJobs::answer_hold(std::int64_t id, const std::string& code, const std::string& error) {
  const auto found = holds_.find(id);
  if (found == holds_.end()) return;
  const Held done = std::move(found->second.done);
  holds_.erase(found);
  done(code, error);
}

// What its shepherd says. Unasked it lets a job go only if the process that held it died.
void OriginJobs::set_held(OriginJob& job, bool held) {
  const auto found = holds_.find(job.id);
  const bool asked = found != holds_.end() && found->second.on == held;
  if (job.held != held) {
    count_hold(job, held, realtime_ns(), asked ? found->second.reason : "");
    const std::string reason = held ? job.hold_reason : asked ? "" : "what held it has ended";
    log(job, held ? "held" : "released", {{"place", cluster_.node_name(job.place)}, {"reason", reason}});
    if (held && job.place != cluster_.self()) place_freed(job.place, job.spec.cpus);
    if (held) start_waiting();
  }
  if (asked) answer_hold(job.id, "", "");
}

}  // namespace drover
