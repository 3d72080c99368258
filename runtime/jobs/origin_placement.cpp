// Where a job starts (sender-initiated, non-preemptive): the policy names whom to ask, and the first who admits it
// reserves a place; if nobody does it starts here, or waits on where it may not.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/sys/error.h"
#include "runtime/jobs/job_directory.h"
#include "runtime/jobs/job_environment.h"
#include "runtime/jobs/origin.h"
#include "runtime/jobs/script.h"
#include "runtime/jobs/spec_json.h"
#include "runtime/migrate/register.h"

namespace drover {

using nlohmann::json;

namespace {
constexpr auto kReserveDeadline = std::chrono::milliseconds(500);
// Until an order that was not answered is settled by the register. Long, since starting may wait for a shared file
// system.
constexpr auto kStartDeadline = std::chrono::seconds(20);

void write_spec(const std::string& path, const std::string& text) {
  const UniqueFd fd(check(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "create", path));
  check(::write(fd.get(), text.data(), text.size()), "write", path);
}
}  // namespace

void OriginJobs::submit(JobSpec spec, Attachment* attachment, std::function<void(const OriginJob&)> placed) {
  struct Made {
    std::int64_t id = 0;
    JobSpec spec;
    PastJobs past;
    std::string error;
  };
  auto made = std::make_shared<Made>();
  made->spec = std::move(spec);
  const std::string jobs_dir = cluster_.paths().state + "/jobs";
  auto job = std::make_shared<OriginJob>();
  job->attachment = attachment;
  job->placed = std::move(placed);
  job->submitted_ns = realtime_ns();
  cluster_.in_background(
      [made, jobs_dir, archive_dir = cluster_.paths().archive_dir(), from = next_id_] {
        try {
          // Before the job exists: what leaves memory from now on does so after it has been admitted.
          made->past = read_past(archive_dir, made->spec);
          made->id = make_job_dir(jobs_dir, from);
          const std::string dir = fmt::format("{}/{}", jobs_dir, made->id);
          keep_script(made->spec, dir);
          write_spec(dir + "/spec.json", spec_to_json(made->spec).dump());
        } catch (const std::exception& error) {
          made->error = error.what();
        }
      },
      [this, made, job] {
        job->id = made->id;
        job->spec = std::move(made->spec);
        if (made->id == 0) return fail(*job, "failed", made->error + "; is the state directory there and writable?");
        next_id_ = std::max(next_id_, made->id + 1);
        OriginJob& kept = jobs_[job->id] = std::move(*job);
        // The environment stays out of the log (it is long, and often secret): the whole spec is in the job's
        // directory.
        json brief = spec_to_json(kept.spec);
        brief["env"] = json::array();
        brief.erase("limits");
        brief.erase("array_items");
        log(kept, "submitted", {{"spec", brief}});
        if (!made->error.empty()) return fail(kept, "failed", made->error);
        try {
          if (!kept.spec.array.empty()) kept.tasks = {.count = count_tasks(kept.spec)};
          name_streams(kept);
        } catch (const std::invalid_argument& error) {
          return fail(kept, "failed", error.what());
        }
        view_.arrived();
        if (kept.spec.hold) {
          count_hold(kept, true, realtime_ns());
          log(kept, "held", {{"place", ""}});
        }
        admit(kept, made->past);
        if (kept.tasks) tell_placed(kept);  // its tasks start when they can
      });
}

void OriginJobs::choose_place(OriginJob& job) {
  std::string error;
  if (!std::exchange(job.opened, true) && !open_streams(job, error)) return fail(job, "failed", error);
  job.answers.clear();
  if (!job.spec.node.empty()) {
    const int rank = cluster_.rank_of(job.spec.node);
    if (rank < 0 || cluster_.lost(rank))
      return fail(job, "no-such-node", fmt::format("there is no node '{}'; see drover nodes", job.spec.node));
    if (rank == cluster_.self()) return start_here(job, "asked for this node");
    job.placement = {{{rank, {false, 0, need_of(job), true}}}, false};
    return probe_next(job);
  }
  auto table = asked_table();
  for (int rank = 0; rank < static_cast<int>(table.size()); ++rank) {
    NodeView& node = table[static_cast<std::size_t>(rank)];
    if (!may_start_at(job, rank, node)) node.usable = node.accepts = false;
    if (!node.usable && rank == cluster_.self()) node.free_slots = 0;
  }
  job.placement = view_.decide(job.id, need_of(job), table);
  std::reverse(job.placement.ask.begin(), job.placement.ask.end());
  if (job.placement.ask.empty()) return start_here(job, fmt::format("no better place than {}", cluster_.self_name()));
  probe_next(job);
}

void OriginJobs::start_here(OriginJob& job, const std::string& why) {
  ask_over(job);
  const NodeView own = view_.own();
  if (!may_start_at(job, cluster_.self(), own) || !fits(own, need_of(job)))
    return unplaced(job, job.spec.node.empty() || job.spec.node == cluster_.self_name()
                             ? "nobody asked has room for it"
                             : fmt::format("{} has not answered, or has no room any more", job.spec.node));
  job.why = why;
  view_.reserve_here(job.id, job.spec.cpus);
  order_start(job, cluster_.self(), false);
}

// Of those who did not admit it the best, if it is better than this node.
void OriginJobs::take_best_answer(OriginJob& job) {
  ask_over(job);
  NodeView own = view_.own();
  if (!may_start_at(job, cluster_.self(), own)) own.free_slots = 0;
  const Need need = need_of(job);
  const auto best = job.placement.best_answer ? choose_answer(own, job.answers, need) : std::nullopt;
  job.answers.clear();
  if (!best) return start_here(job, fmt::format("nobody asked had a better place than {}", cluster_.self_name()));
  job.placement.best_answer = false;
  job.placement.ask = {{*best, {false, may_start_here(own, need) ? place_value(own) : 0, need, false}}};
  probe_next(job);
}

void OriginJobs::probe_next(OriginJob& job) {
  ask_over(job);
  if (job.placement.ask.empty()) return take_best_answer(job);
  const Ask next = job.placement.ask.back();
  const int rank = next.rank;
  job.placement.ask.pop_back();
  ask(job, rank);
  cluster_.send(rank, Msg::Reserve, Reserve{job.id, next.terms});
  cluster_.loop().after(kReserveDeadline, [this, id = job.id, rank] {
    OriginJob* late = find(id);
    if (late != nullptr && late->state == JobState::Queued && late->asked == rank) probe_next(*late);
  });
}

void OriginJobs::on_reserve_reply(int from, const ReserveReply& reply) {
  const NodeView now = sane(reply.now);
  view_.heard(from, now);
  OriginJob* job = find(reply.job);
  if (job == nullptr || job->state != JobState::Queued || job->asked != from) return;
  log(*job, "probed", {{"place", cluster_.node_name(from)}, {"accepted", reply.accepted}, {"reason", reply.reason}});
  if (!reply.accepted) {
    job->answers.push_back({from, now});
    return probe_next(*job);
  }
  job->why = job->spec.node.empty() ? fmt::format("placed: {} had the better place", cluster_.node_name(from))
                                    : "asked for this node";
  order_start(*job, from, true);
}

void OriginJobs::order_start(OriginJob& job, int rank, bool elsewhere) {
  leave_queue(job);
  log(job, "starting", {{"place", cluster_.node_name(rank)}, {"attempt", job.attempt}});
  job.state = JobState::Starting;
  job.asked = rank;
  job.epoch = first_epoch(job.attempt);
  PlaceOrder order;
  order.facts.job = job.id;
  order.facts.epoch = job.epoch;
  order.facts.origin = cluster_.self_name();
  order.facts.name = job.spec.name;
  order.facts.argv = job.spec.argv;
  order.facts.submitted_ns = job.submitted_ns;
  order.facts.cpus = job.spec.cpus;
  order.spec = job.spec;
  set_job_environment(order.spec, job.id, order.facts.origin, job.attempt);
  order.claim = elsewhere;
  order.spec.image = image_of(job);
  if (!job.retry_image.empty()) order.spec.truncate = true;  // the attempt that wrote there counts no more
  const bool same_file = !job.output[0].path.empty() && job.output[0].path == job.output[1].path;
  for (int i = 0; i < 2 && !order.spec.image.empty(); ++i) {
    const OutputSink& output = job.output[i];
    order.output_base[i] = output.received - output.base;
    // Two streams into one file can't be told apart in it.
    order.output_continued[i] = (output.continued || !job.retry_image.empty()) && !same_file;
  }
  cluster_.send(rank, Msg::Place, order);
  if (!elsewhere) return;
  cluster_.loop().after(kStartDeadline, [this, id = job.id, rank] { start_unanswered(id, rank); });
}

// The node that was to start it says nothing. It may have started it and its word be lost, so the register decides: if
// it is still free, it becomes ours, and what the other does later comes too late.
void OriginJobs::start_unanswered(std::int64_t id, int rank) {
  const OriginJob* job = find(id);
  if (job == nullptr || job->state != JobState::Starting || job->asked != rank || rank == cluster_.self()) return;
  auto owner = std::make_shared<std::string>();
  const std::string self = cluster_.self_name();
  cluster_.in_background(
      [owner, dir = cluster_.paths().job_dir(id), epoch = job->epoch, self] {
        *owner = claim_ownership(dir, epoch, {self, "origin " + self}).node;
      },
      [this, owner, id, epoch = job->epoch, rank, self] {
        OriginJob* waiting = find(id);
        if (waiting == nullptr || waiting->state != JobState::Starting || waiting->asked != rank) return;
        if (waiting->epoch != epoch) return;
        if (*owner == self) {
          spdlog::warn("job {}: {} did not start it, starting it here", id, cluster_.node_name(rank));
          waiting->why = fmt::format("{} did not answer", cluster_.node_name(rank));
          return order_start(*waiting, cluster_.self(), false);
        }
        if (owner->empty()) {  // the register could not be reached
          waiting->state = JobState::InDoubt;
          waiting->doubt = "no word from " + cluster_.node_name(rank) + ", and the state directory can't be reached";
          cluster_.loop().after(std::chrono::seconds(1), [this, id, rank] {
            if (OriginJob* again = find(id); again != nullptr && again->state == JobState::InDoubt) {
              again->state = JobState::Starting;
              start_unanswered(id, rank);
            }
          });
          return;
        }
        waiting->place = rank;  // it has it; its word will come, or the rank be excluded
        waiting->state = JobState::Running;
        if (cluster_.lost(rank)) doubt_place(*waiting);
      });
}

void OriginJobs::on_placed(int from, const Placed& placed) {
  OriginJob* job = find(placed.job);
  if (job == nullptr || is_outdated(from, *job, attempt_of(placed.epoch)) || over(*job)) return;
  job->state = JobState::Running;
  job->place = from;
  job->asked = -1;
  job->pid = placed.pid;
  job->epoch = std::max(job->epoch, placed.epoch);
  job->started_ns = placed.started_ns;
  job->pinned = placed.pinned;
  job->doubt.clear();
  job->unheard = false;
  job->lost_since_ns = 0;
  log(*job, "started",
      {{"place", cluster_.node_name(from)},
       {"epoch", job->epoch},
       {"attempt", job->attempt},
       {"why", job->why},
       {"pid", placed.pid}});
  task_started(*job);
  tell_placed(*job);
  send_input(*job);
}

void OriginJobs::on_place_failed(int from, const PlaceFailed& failed) {
  settle_failure(from, failed);
  if (from != cluster_.self()) {
    if (const OriginJob* job = find(failed.job)) place_freed(from, job->spec.cpus);
  }
  start_waiting();
}

void OriginJobs::settle_failure(int from, const PlaceFailed& failed) {
  OriginJob* job = find(failed.job);
  if (job == nullptr || over(*job) || job->asked != from || attempt_of(failed.epoch) != job->attempt) return;
  const auto& failure = failed.failure;
  if (failure.lost) {
    // Only a late node loses: the register went to us, and the job has been started here.
    if (job->state == JobState::Starting && job->asked == from) job->asked = cluster_.self();
    return;
  }
  job->place = from;
  const std::string node = cluster_.node_name(from);
  const std::string& subject = failure.subject;
  // Nothing of the job's own: all else that keeps a program from starting would do so again.
  if (failure.step == "start" && may_retry(*job))
    return retry(*job, fmt::format("{} could not start it: {}", node, subject), Failure::PlaceLost);
  if (!job->retry_image.empty() && may_retry(*job))
    return retry(*job, fmt::format("{} could not restore {}: {}", node, job->retry_image, subject), Failure::Program);
  if (failure.step == "exec" && failure.error == ENOENT && subject == script_path(cluster_.paths().job_dir(job->id)))
    return fail(*job, "not-found",
                fmt::format("the interpreter that the script's first line names is not on {}", node));
  if (failure.step == "exec" && failure.error == ENOENT)
    return fail(*job, "not-found", fmt::format("{}: no such program on {}", subject, node));
  if (failure.step == "exec")
    return fail(*job, "not-executable", fmt::format("{}: {} (on {})", subject, error_text(failure.error), node));
  if (failure.step == "restore")
    return fail(*job, "failed", fmt::format("{} can't restore it: {}; see drover-restore(1)", node, subject));
  if (failure.step == "open")
    return fail(*job, "failed",
                fmt::format("{} can't open the image {}: {}; have it in a directory that all nodes share", node,
                            subject, error_text(failure.error)));
  if (failure.step == "chdir")
    return fail(*job, "failed",
                fmt::format("{} can't enter the working directory {}: {}; use one that all nodes share", node, subject,
                            error_text(failure.error)));
  fail(*job, "failed",
       fmt::format("{} could not start it: {} {}: {}", node, failure.step, subject, error_text(failure.error)));
}

void OriginJobs::tell_placed(OriginJob& job) {
  if (const auto tell = std::exchange(job.placed, nullptr)) tell(job);
}

void OriginJobs::fail(OriginJob& job, std::string code, std::string error) {
  leave_queue(job);
  job.state = JobState::Failed;
  job.error_code = std::move(code);
  job.error = std::move(error);
  job.ended_ns = realtime_ns();
  if (job.id != 0) log(job, "failed", {{"error", job.error}, {"code", job.error_code}});
  job.attachment = job.placed ? nullptr : job.attachment;  // the answer to the submission says it all
  tell_placed(job);
  if (job.id != 0) finish_if_drained(job);
}

void OriginJobs::rank_lost(int rank) {
  fail_checkpoints(rank);
  for (auto& [id, job] : jobs_) {
    if (over(job)) continue;
    if (job.state == JobState::Queued && job.asked == rank)
      cluster_.loop().after(Nanoseconds::zero(), [this, id = id, rank] {
        if (OriginJob* one = find(id); one != nullptr && one->state == JobState::Queued && one->asked == rank)
          probe_next(*one);
      });
    if (job.state == JobState::Starting && job.asked == rank) start_unanswered(id, rank);
    if (job.place == rank) doubt_place(job);
  }
}

void OriginJobs::doubt_place(OriginJob& job) {
  job.doubt = cluster_.node_name(job.place) + " does not answer";
  job.lost_since_ns = monotonic_ns();
}

}  // namespace drover
