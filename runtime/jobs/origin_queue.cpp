// The jobs that wait at their origin for PUs: in which order they start, why each waits, and when to look again.
//
// A job that needs little may pass one that needs more than any node has free, or a big one would hold up everybody;
// but not for ever, or small ones would hold up the big one.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>

#include "ckpt/sys/text.h"
#include "runtime/jobs/job_archive.h"
#include "runtime/jobs/origin.h"
#include "runtime/jobs/spec_json.h"

namespace drover {

namespace {
constexpr std::uint64_t kMayBePassedNs = 60'000'000'000ULL;
constexpr auto kPause = std::chrono::milliseconds(250);  // after nobody has taken it
constexpr int kMostLooks = 1000;                         // at waiting jobs at a time

std::string pus(int count) { return count == 1 ? "1 PU" : fmt::format("{} PUs", count); }
}  // namespace

bool ends_program(int signo) {
  return signo == SIGTERM || signo == SIGKILL || signo == SIGINT || signo == SIGHUP || signo == SIGQUIT;
}

OriginJobs::Waiting OriginJobs::waiting(const OriginJob& job) {
  return {-static_cast<std::int64_t>(job.spec.priority), job.array != 0 ? job.array : job.id, job.id};
}

Need OriginJobs::need_of(const OriginJob& job) { return {job.spec.cpus, job.spec.memory_kib}; }

// Waits for nothing in particular, where any node will do.
static bool asks_least(const OriginJob& job) {
  return job.spec.cpus == 1 && job.spec.memory_kib == 0 && job.spec.node.empty() && job.spec.exclude.empty();
}

OriginJobs::PastJobs OriginJobs::read_past(const std::string& archive_dir, const JobSpec& spec) {
  PastJobs past;
  for (const After& after : spec.after)
    if (const auto job = find_archived(archive_dir, after.job)) past[after.job] = job->value("exit", -1) == 0;
  return past;
}

void OriginJobs::admit(OriginJob& job, const PastJobs& past) {
  if (job.spec.after.empty()) return enqueue(job);
  for (const After& after : job.spec.after) {
    if ((find(after.job) == nullptr && past.count(after.job) == 0) || after.job == job.id)
      return fail(job, "no-such-job", fmt::format("there is no job {} to start after at this origin", after.job));
  }
  job.unmet = job.spec.after.size();
  const std::int64_t id = job.id;
  const std::vector<After> all = job.spec.after;  // the job can fail meanwhile
  for (const After& after : all) {
    if (find(after.job) == nullptr) {
      before_is_over(id, after, past.at(after.job));
      continue;
    }
    when_over(after.job, [this, id, after](const OriginJob& before) {
      before_is_over(id, after, before.state == JobState::Ended && before.wait_status == 0);
    });
  }
  if (job.state != JobState::Queued || job.unmet == 0) return;
  const auto first = std::find_if(all.begin(), all.end(), [this](const After& after) {
    const OriginJob* before = find(after.job);
    return before != nullptr && !over(*before);
  });
  wait(job, fmt::format("for the end of job {}{}", first->job,
                        job.unmet > 1 ? fmt::format(" and {} more", job.unmet - 1) : ""));
}

void OriginJobs::before_is_over(std::int64_t id, const After& after, bool ok) {
  OriginJob* job = find(id);
  if (job == nullptr || job->state != JobState::Queued) return;
  if (!ok && !after.any)
    return fail(*job, "dependency",
                fmt::format("was to start after job {} had succeeded, which it has not; see drover show {}", after.job,
                            after.job));
  if (--job->unmet == 0) enqueue(*job);
}

void OriginJobs::enqueue(OriginJob& job) {
  // One that has been started before waits for its node, which may come back.
  const std::string never = job.attempt == 1 ? find_impossible(job) : "";
  if (!never.empty()) return fail(job, "refused", never);
  queue_.insert(waiting(job));
  start_waiting();
  if (job.tasks) return;
  if (job.state != JobState::Queued || job.asked >= 0 || job.told_waiting) return;
  if (job.held) return wait(job, "held");
  const std::string shortage = find_shortage(job, asked_table());  // not looked at, behind others that wait
  wait(job, shortage.empty() ? "others come first" : shortage);
}

void OriginJobs::start_waiting() {
  if (starting_ || queue_.empty()) return;
  starting_ = true;  // what follows can end jobs, which leads here again
  auto table = asked_table();
  const std::uint64_t now = monotonic_ns();
  int looks = 0;
  for (auto next = queue_.begin(); next != queue_.end() && looks < kMostLooks;) {
    OriginJob& job = jobs_.at(std::get<2>(*next++));
    if (job.held) continue;
    if (job.tasks) {
      make_tasks(job);
      continue;
    }
    if (job.asked >= 0 || now < job.not_before_ns) continue;
    ++looks;
    const std::string obstacle = find_shortage(job, table);
    if (obstacle.empty()) {
      choose_place(job);
      table = asked_table();
      continue;
    }
    wait(job, obstacle);
    if (job.detached_ns != 0) continue;
    if (asks_least(job)) break;
    if (job.passed_since_ns == 0) job.passed_since_ns = now;
    if (now - job.passed_since_ns > kMayBePassedNs) break;
  }
  starting_ = false;
}

// As the nodes will be when those that have been asked have said yes.
std::vector<NodeView> OriginJobs::asked_table() const {
  std::vector<NodeView> table = view_.table();
  for (const auto& [rank, cpus] : asked_cpus_) table[static_cast<std::size_t>(rank)].free_slots -= cpus;
  return table;
}

bool OriginJobs::may_start_at(const OriginJob& job, int rank, const NodeView& node) const {
  if (node.draining || !node.usable) return false;
  if (!job.spec.node.empty()) return cluster_.node_name(rank) == job.spec.node;
  const auto& exclude = job.spec.exclude;
  const bool excluded = std::find(exclude.begin(), exclude.end(), cluster_.node_name(rank)) != exclude.end();
  return !excluded && (rank == cluster_.self() || node.accepts);
}

// Why it can't start anywhere now; empty: perhaps it can.
std::string OriginJobs::find_shortage(const OriginJob& job, const std::vector<NodeView>& table) const {
  if (job.detached_ns != 0) return "its launcher went away, and may come back";
  const Need need = need_of(job);
  int most = -1, where = -1;
  bool enough_pus = false;
  for (int rank = 0; rank < static_cast<int>(table.size()); ++rank) {
    const NodeView& node = table[static_cast<std::size_t>(rank)];
    if (!may_start_at(job, rank, node)) continue;
    if (fits(node, need)) return {};
    enough_pus = enough_pus || node.free_slots >= need.cpus;
    if (node.free_slots > most) most = node.free_slots, where = rank;
  }
  if (where < 0)
    return job.spec.node.empty() ? "no node that it may start on takes jobs"
                                 : fmt::format("{} does not take jobs now", job.spec.node);
  if (enough_pus) return fmt::format("no node has {} MiB of memory available", need.memory_kib / 1024);
  if (need.cpus == 1)
    return job.spec.node.empty() ? "no PU is free" : fmt::format("no PU of {} is free", job.spec.node);
  return fmt::format("needs {}; {} has {} free{}", pus(need.cpus), cluster_.node_name(where), std::max(most, 0),
                     job.spec.node.empty() ? ", and no node more" : "");
}

// Why no node will ever take it, or the one that was named will not soon; empty if one can, or if not all have told
// what they have.
std::string OriginJobs::find_impossible(const OriginJob& job) const {
  const auto table = view_.table();
  const int named = job.spec.node.empty() ? -1 : cluster_.rank_of(job.spec.node);
  if (named >= 0 && table[static_cast<std::size_t>(named)].draining)
    return fmt::format("{} is draining; leave out --node, or see drover undrain", job.spec.node);
  int most = -1, where = -1;
  for (int rank = 0; rank < static_cast<int>(table.size()); ++rank) {
    const NodeView& node = table[static_cast<std::size_t>(rank)];
    if (cluster_.lost(rank)) continue;
    if (!node.usable && rank != cluster_.self()) return {};
    NodeView willing = node;
    willing.draining = false, willing.accepts = true;
    if (!may_start_at(job, rank, willing)) continue;
    if (node.slots > most) most = node.slots, where = rank;
  }
  if (where < 0)
    return "no node is left that it may start on: --node and --exclude-node leave none of them; see drover nodes";
  if (most >= job.spec.cpus) return {};
  return fmt::format(
      "needs {}, and {} has {}{}; ask for fewer with --cpus, or see balance.jobs_per_pu in drover config",
      pus(job.spec.cpus), cluster_.node_name(where), most, job.spec.node.empty() ? ", the most of all nodes" : "");
}

void OriginJobs::wait(OriginJob& job, const std::string& why) {
  job.why = "waits: " + why;
  if (!std::exchange(job.told_waiting, true)) {
    log(job, "queued", {{"why", why}});
    if (job.placed) job.placed(job);
    if (!job.spec.attached) job.placed = nullptr;
  }
}

// The log leaves out what a start needs: the environment.
void OriginJobs::wait_again(OriginJob& job) {
  PastJobs past;
  try {
    job.spec = spec_reader(job)();
    past = read_past(cluster_.paths().archive_dir(), job.spec);
    job.brief = false;
    if (!job.tasks) name_streams(job);
  } catch (const std::exception& error) {
    return fail(job, "failed", fmt::format("it had not started, and its spec can't be read: {}", error.what()));
  }
  job.told_waiting = true;
  if (job.spec.after.empty() || job.attempt > 1 || (job.tasks && job.tasks->made > 0))
    queue_.insert(waiting(job));  // looked at when nodes have told of themselves
  else
    admit(job, past);
}

// Nobody has taken it, and it may not start here.
void OriginJobs::unplaced(OriginJob& job, const std::string& why) {
  job.not_before_ns = monotonic_ns() + std::chrono::nanoseconds(kPause).count();
  wait(job, why);
  cluster_.loop().after(kPause, [this] { start_waiting(); });
}

// Known here before the node's next sample.
void OriginJobs::place_freed(int rank, int cpus) {
  if (queue_.empty()) return;
  NodeView node = view_.table()[static_cast<std::size_t>(rank)];
  node.free_slots = std::min(node.slots, node.free_slots + cpus);
  node.load = std::max(0.0, node.load - 1);
  view_.heard(rank, node);
}

void OriginJobs::cancel_waiting() {
  ending_ = true;
  std::vector<std::int64_t> arrays;
  for (auto& [id, job] : jobs_) {
    if (job.tasks && !over(job))
      arrays.push_back(id);
    else
      cancel(job, SIGKILL);
  }
  for (const std::int64_t id : arrays) {
    OriginJob& array = jobs_.at(id);
    cancel_array(array, "cancelled");
    if (array.tasks->is_over() && !over(array)) end_array(array);
  }
}

void OriginJobs::ask(OriginJob& job, int rank) {
  ask_over(job);
  job.asked = rank;
  asked_cpus_[rank] += job.spec.cpus;
}

void OriginJobs::ask_over(OriginJob& job) {
  if (job.state != JobState::Queued || job.asked < 0) return;
  asked_cpus_[job.asked] -= job.spec.cpus;
  job.asked = -1;
}

void OriginJobs::leave_queue(OriginJob& job) {
  ask_over(job);
  queue_.erase(waiting(job));
}

bool OriginJobs::cancel(OriginJob& job, int signo) {
  if (job.state != JobState::Queued) return false;
  if (ends_program(signo))
    fail(job, "cancelled",
         fmt::format("cancelled by signal {} before it had started{}", signo, job.attempt > 1 ? " again" : ""));
  return true;
}

}  // namespace drover
