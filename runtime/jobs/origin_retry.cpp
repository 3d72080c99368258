// Jobs that are started anew (--retries): when, after which pause, and what becomes of the attempt before.
//
// A job fails by itself, or its place is lost: then its earlier attempt may live on where nobody hears it. The new one
// has higher epochs (attempt.h), so that nothing which the old one still says counts; and whoever says it, or is heard
// again, is told to end it. Until then there are two, which is what a retry after a loss means: see drover-submit(1).
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "runtime/jobs/origin.h"

namespace drover {

using nlohmann::json;

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kLongestPauseS = 60;  // both documented in drover-submit(1)

// Before attempt 2, 3, ...: 1, 2, 4, ... seconds.
std::uint64_t pause_seconds(int attempt) {
  return std::min(kLongestPauseS, std::uint64_t{1} << std::clamp(attempt - 2, 0, 10));
}

std::uint64_t bit(int signo) { return std::uint64_t{1} << (static_cast<unsigned>(signo) % 64); }

// Whoever sends a signal that ends it wants it to be over, also if the program makes an exit code of it.
bool was_told_to_end(const OriginJob& job) {
  for (int signo = 1; signo < 32; ++signo)
    if ((job.signals & bit(signo)) != 0 && ends_program(signo)) return true;
  return WIFSIGNALED(job.wait_status) && (job.signals & bit(WTERMSIG(job.wait_status))) != 0;
}

}  // namespace

std::string failure_text(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return fmt::format("exit code {}", WEXITSTATUS(wait_status));
  const char* name = ::sigabbrev_np(WTERMSIG(wait_status));
  return fmt::format("signal {} ({})", WTERMSIG(wait_status), name == nullptr ? "?" : name);
}

// Its launcher has let go of what the shepherd has acknowledged.
bool OriginJobs::input_is_gone(const OriginJob& job) { return job.stdin_path.empty() && job.input.base > 0; }

bool OriginJobs::may_retry(const OriginJob& job) const {
  return job.attempt <= job.spec.retries && !ending_ && job.time_limit_ns == 0 && !was_told_to_end(job) &&
         !input_is_gone(job);
}

void OriginJobs::retry(OriginJob& job, const std::string& why, Failure failure) {
  const std::string place = job.place >= 0 ? cluster_.node_name(job.place) : "";
  leave_queue(job);
  ++job.attempt;
  job.last_failure = why;
  job.left_behind = job.left_behind || failure == Failure::PlaceSilent;
  job.state = JobState::Queued;
  job.epoch = first_epoch(job.attempt);
  job.place = job.asked = -1;
  job.pid = job.wait_status = 0;
  job.started_ns = job.lost_since_ns = job.signals = job.passed_since_ns = 0;
  job.moves = 0;
  job.frozen_ns = job.held_ns = 0;
  job.doubt.clear();
  job.unheard = false;
  job.pinned.clear();
  job.told_waiting = true;
  // A program that failed would do so again from an image of its own; one that was lost has done nothing wrong.
  if (failure == Failure::Program) job.may_go_on = false;
  job.retry_image = job.may_go_on ? job.checkpoint : "";
  for (auto& output : job.output) {
    if (image_of(job).empty()) output.base = output.received;  // else its streams go on, too, with the same offsets
    output.ended = false;
  }
  InputFeed fresh;
  fresh.file = job.input.file;
  fresh.held = job.input.file ? "" : job.input.held;
  fresh.ended = job.input.ended && !job.input.file;
  job.input = std::move(fresh);
  const std::uint64_t pause_s = pause_seconds(job.attempt);
  job.not_before_ns = monotonic_ns() + pause_s * kSecondNs;
  job.why = fmt::format("waits {} s after {}", pause_s, why);
  log(job, "retrying",
      {{"attempt", job.attempt},
       {"attempts", job.spec.retries + 1},
       {"why", why},
       {"place", place},
       {"left_behind", failure == Failure::PlaceSilent},
       {"image", job.retry_image},
       {"pause_s", pause_s},
       {"cpu_seconds", job.cpu_seconds},
       {"output_from", {job.output[0].base, job.output[1].base}}});
  if (job.attachment != nullptr)
    job.attachment->notice(job.id, fmt::format("attempt {} of {} begins in {} s, after {}", job.attempt,
                                               job.spec.retries + 1, pause_s, why));
  cluster_.loop().after(std::chrono::seconds(pause_s),
                        [this, id = job.id, attempt = job.attempt] { start_again(id, attempt); });
}

void OriginJobs::start_again(std::int64_t id, int attempt) {
  const auto waiting = [this, id, attempt]() -> OriginJob* {
    OriginJob* job = find(id);
    return job != nullptr && job->state == JobState::Queued && job->attempt == attempt ? job : nullptr;
  };
  OriginJob* job = waiting();
  if (job == nullptr) return;
  if (!job->brief) return enqueue(*job);
  struct Whole {
    std::optional<JobSpec> spec;
    std::string error;
  };
  const auto whole = std::make_shared<Whole>();
  cluster_.in_background(
      [whole, read = spec_reader(*job)] {
        try {
          whole->spec = read();
        } catch (const std::exception& error) {
          whole->error = error.what();
        }
      },
      [this, whole, waiting] {
        OriginJob* ready = waiting();
        if (ready == nullptr) return;
        if (!whole->spec) return fail(*ready, "failed", "it can't be started anew: " + whole->error);
        ready->spec = std::move(*whole->spec);
        ready->brief = false;
        enqueue(*ready);
      });
}

void OriginJobs::give_up_place(OriginJob& job, std::uint64_t now_ns) {
  const auto longest_ns = static_cast<std::uint64_t>(view_.lost_after.count());
  if (over(job) || job.place < 0 || !cluster_.lost(job.place) || now_ns - job.lost_since_ns < longest_ns) return;
  if (!may_retry(job)) return;
  spdlog::warn("job {}: {} has not answered for {} s, starting it anew", job.id, cluster_.node_name(job.place),
               longest_ns / kSecondNs);
  retry(job, cluster_.node_name(job.place) + " did not answer any more", Failure::PlaceSilent);
}

bool OriginJobs::is_outdated(int from, const OriginJob& job, int attempt) {
  if (attempt >= job.attempt) return false;
  cluster_.send(from, Msg::JobOutdated, JobMark{job.id, job.attempt, {}});
  return true;
}

void OriginJobs::rank_returned(int rank) {
  for (auto& [id, job] : jobs_) {
    if (job.left_behind) cluster_.send(rank, Msg::JobOutdated, JobMark{id, job.attempt, {}});
    if (job.place != rank || std::exchange(job.lost_since_ns, 0) == 0) continue;
    job.doubt.clear();
  }
}

void OriginJobs::note_signal(OriginJob& job, int signo) {
  if ((job.signals & bit(signo)) != 0) return;
  job.signals |= bit(signo);
  if (job.spec.retries > 0) log(job, "signalled", {{"signal", signo}});
}

void OriginJobs::replay_retry(OriginJob& job, const json& event) {
  job.state = JobState::Queued;
  job.attempt = event.value("attempt", job.attempt + 1);
  job.epoch = first_epoch(job.attempt);
  job.last_failure = event.value("why", "");
  job.retry_image = event.value("image", "");
  job.may_go_on = !job.retry_image.empty();
  job.left_behind = job.left_behind || event.value("left_behind", false);
  job.place = -1;
  job.started_ns = job.signals = 0;
  job.moves = 0;
  job.frozen_ns = job.held_ns = 0;
  const auto from = event.value("output_from", std::vector<std::uint64_t>{0, 0});
  for (std::size_t i = 0; i < 2 && i < from.size(); ++i)
    job.output[i].base = job.output[i].received = job.output[i].safe = from[i];
  const std::uint64_t pause_ns = std::min(event.value("pause_s", kLongestPauseS), kLongestPauseS) * kSecondNs;
  const std::uint64_t passed_ns = realtime_ns() - std::min(realtime_ns(), event.value("time_ns", std::uint64_t{0}));
  job.not_before_ns = monotonic_ns() + pause_ns - std::min(pause_ns, passed_ns);
  job.why = "waits after " + job.last_failure;
}

}  // namespace drover
