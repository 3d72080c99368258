#include "runtime/load/job_meter.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "ckpt/sys/tasks.h"
#include "runtime/load/pid_stat.h"
#include "runtime/load/text_fields.h"

namespace drover {

namespace {

constexpr double kNanoseconds = 1e9;
constexpr std::size_t kMaxProcesses = 100'000;  // a fork bomb must not stop the sampler

double ticks_to_seconds(std::uint64_t ticks) {
  static const auto per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return static_cast<double>(ticks) / per_second;
}

// Growth of a counter of one tree; a tree seen anew, or one whose init was replaced, counts from zero.
double growth_seconds(std::uint64_t now, std::uint64_t before) {
  return now > before ? ticks_to_seconds(now - before) : 0;
}

template <class Visit>
void for_each_pid(const std::string& directory, Visit visit) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    if (const auto pid = number<pid_t>(it->path().filename().native(), 0); pid > 0) visit(pid);
}

}  // namespace

JobMeter::JobMeter(ProcDir proc, unsigned host_pus) : proc_(std::move(proc)), host_pus_(std::max(1U, host_pus)) {}

JobLoad JobMeter::measure(std::uint64_t monotonic_ns, std::span<const pid_t> job_inits) {
  if (job_inits.empty()) {
    last_ = {};
    if (last_ns_ != 0 && monotonic_ns > last_ns_)
      last_.running = last_.ended_running = used_by_ended(static_cast<double>(monotonic_ns - last_ns_) / kNanoseconds);
    ended_.clear();
    trees_.clear();
    waited_ns_.clear();
    runnable_.clear();
    last_ns_ = monotonic_ns;
    budget_.reset();
    return last_;
  }
  if (!budget_.allows(monotonic_ns)) return last_;
  budget_.begin();
  const bool rates = last_ns_ != 0 && monotonic_ns > last_ns_;
  const double seconds = rates ? static_cast<double>(monotonic_ns - last_ns_) / kNanoseconds : 0;
  last_ns_ = monotonic_ns;
  last_ = measure_trees(seconds, job_inits);
  budget_.end(monotonic_ns);
  return last_;
}

// `seconds` since the last measurement; 0: there was none, so there are no rates.
JobLoad JobMeter::measure_trees(double seconds, std::span<const pid_t> job_inits) {
  has_children_files_ =
      ::access(fmt::format("{}/{}/task/{}/children", proc_.root(), job_inits[0], job_inits[0]).c_str(), R_OK) == 0;
  if (!has_children_files_) find_children_by_scan();
  JobLoad load;
  std::map<pid_t, Tree> trees;
  waited_now_.clear();
  runnable_.clear();
  for (const pid_t init : job_inits) {
    const Tree tree = walk(init);
    if (tree.start_ticks == 0) continue;  // gone
    const auto known = trees_.find(init);
    const bool seen = known != trees_.end() && known->second.start_ticks == tree.start_ticks;
    const Tree before = seen ? known->second : Tree{};
    const double limit = seconds * (seen ? host_pus_ : std::min<double>(host_pus_, static_cast<double>(tree.threads)));
    if (seconds > 0) {
      const double running = std::min(growth_seconds(tree.ticks, before.ticks), limit) / seconds;
      load.running += running;
      if (seen) runnable_[init] = running;
      load.shepherds_running += std::min(growth_seconds(tree.init_ticks, before.init_ticks), seconds) / seconds;
    }
    load.resident_kib += tree.resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
    trees.emplace(init, tree);
  }
  for (const auto& [init, tree] : trees) ended_.erase(init);  // still there: counted
  if (seconds > 0) {
    load.waiting = waited_since_last(seconds);
    load.ended_running = used_by_ended(seconds);
    load.running += load.ended_running;
  }
  ended_.clear();
  trees_ = std::move(trees);
  waited_ns_.swap(waited_now_);
  return load;
}

// CPUs' worth of time, since the last measurement.
double JobMeter::used_by_ended(double seconds) {
  double used = 0;
  for (const auto& [init, cpu_seconds] : ended_) {
    const auto known = trees_.find(init);
    const double before = known == trees_.end() ? 0 : ticks_to_seconds(known->second.ticks);
    used += std::clamp(cpu_seconds - before, 0.0, seconds * host_pus_);
  }
  return used / seconds;
}

double JobMeter::waited_since_last(double seconds) {
  const auto most = static_cast<std::uint64_t>(seconds * kNanoseconds);  // by one thread
  std::uint64_t waited = 0;
  for (const auto& [tid, now] : waited_now_) {
    const auto before = waited_ns_.find(tid);
    const std::uint64_t base = before == waited_ns_.end() || before->second.ns > now.ns ? 0 : before->second.ns;
    const std::uint64_t more = std::min(now.ns - base, most);
    waited += more;
    if (const auto job = runnable_.find(now.init); job != runnable_.end())
      job->second += static_cast<double>(more) / kNanoseconds / seconds;
  }
  return static_cast<double>(waited) / kNanoseconds / seconds;
}

JobMeter::Tree JobMeter::walk(pid_t init) {
  Tree tree;
  walking_ = init;
  std::vector<pid_t> pending = {init};
  for (std::size_t done = 0; done < pending.size() && done < kMaxProcesses; ++done) {
    const pid_t pid = pending[done];
    const auto stat = parse_pid_stat(proc_.read("{}/stat", pid));
    if (!stat) continue;
    if (pid == init) {
      tree.start_ticks = std::max<std::uint64_t>(stat->start_ticks, 1);
      tree.init_ticks = stat->user_ticks + stat->system_ticks;
      tree.ticks += stat->children_user_ticks + stat->children_system_ticks;
    } else {
      tree.ticks += stat->total_ticks();
      const bool by_others = stat->state == 'Z' && stat->threads > 1;  // its main thread has ended
      tree.resident_pages += by_others ? resident_pages_of_threads(pid) : stat->resident_pages;
      tree.threads += stat->threads;
    }
    if (!has_children_files_)
      if (const auto found = children_.find(pid); found != children_.end())
        pending.insert(pending.end(), found->second.begin(), found->second.end());
    visit_threads(pid, stat->threads, pending);
  }
  return tree;
}

std::uint64_t JobMeter::resident_pages_of_threads(pid_t pid) const {
  std::uint64_t pages = 0;
  for_each_pid(fmt::format("{}/{}/task", proc_.root(), pid), [&](pid_t tid) {
    const auto stat = pages == 0 ? parse_pid_stat(proc_.read("{}/task/{}/stat", pid, tid)) : std::nullopt;
    if (stat) pages = stat->resident_pages;
  });
  return pages;
}

void JobMeter::visit_threads(pid_t pid, std::uint64_t threads, std::vector<pid_t>& pending) {
  if (threads <= 1) return visit_thread(pid, pid, pending);
  for_each_pid(fmt::format("{}/{}/task", proc_.root(), pid), [&](pid_t tid) { visit_thread(pid, tid, pending); });
}

void JobMeter::visit_thread(pid_t pid, pid_t tid, std::vector<pid_t>& pending) {
  if (has_children_files_)  // CONFIG_PROC_CHILDREN
    for (const pid_t child : parse_children(proc_.read("{}/task/{}/children", pid, tid))) pending.push_back(child);
  if (const auto schedule = parse_thread_schedule(proc_.read("{}/task/{}/schedstat", pid, tid)))
    waited_now_[tid] = {schedule->waiting_ns, walking_};
}

void JobMeter::find_children_by_scan() {
  children_.clear();
  for_each_pid(proc_.root(), [&](pid_t pid) {
    if (const auto stat = parse_pid_stat(proc_.read("{}/stat", pid))) children_[stat->parent].push_back(pid);
  });
}

}  // namespace drover
