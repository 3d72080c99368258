#include "runtime/load/foreign_meter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#include "runtime/load/text_fields.h"

namespace drover {

namespace {

constexpr double kNanoseconds = 1e9;
constexpr std::size_t kMaxGroups = 1000, kMaxProcesses = 100'000;  // neither must stop the sampler

double ticks_per_second() {
  static const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return ticks;
}

std::uint64_t growth(std::uint64_t before, std::uint64_t now) { return now > before ? now - before : 0; }

}  // namespace

ForeignMeter::ForeignMeter(ProcDir proc, Cgroup group, unsigned host_pus, pid_t droverd, WalkBudget budget)
    : proc_(std::move(proc)),
      group_(std::move(group)),
      host_pus_(std::max(1U, host_pus)),
      droverd_(droverd),
      budget_(budget) {}

ForeignLoad ForeignMeter::measure(std::uint64_t monotonic_ns, std::span<const pid_t> job_inits) {
  if (!budget_.allows(monotonic_ns)) return last_;
  budget_.begin();
  Processes now = find_foreign(job_inits);
  Waits waits = read_waits(now);
  last_ = {};
  if (last_ns_ != 0 && monotonic_ns > last_ns_) {
    const double seconds = static_cast<double>(monotonic_ns - last_ns_) / kNanoseconds;
    last_.running = ticks_used(now, seconds) / ticks_per_second() / seconds;
    const auto most = static_cast<std::uint64_t>(seconds * kNanoseconds);  // by one thread
    for (const auto& [tid, ns] : waits) {
      const auto before = waits_before_.find(tid);
      const bool seen = before != waits_before_.end() && before->second <= ns;
      last_.waiting += static_cast<double>(std::min(ns - (seen ? before->second : 0), most)) / kNanoseconds / seconds;
    }
  }
  before_ = std::move(now);
  waits_before_ = std::move(waits);
  last_ns_ = monotonic_ns;
  budget_.end(monotonic_ns);
  return last_;
}

// PIDs of the reader's PID namespace: the kernel translates them (cgroup_procs_show(), and pid_nr_ns() of v1's
// pidlists), and gives 0, or nothing, for a process that can't be seen from there.
std::vector<pid_t> ForeignMeter::list_group() const {
  std::vector<pid_t> pids;
  std::vector<std::string> groups = {group_.path};
  const ProcDir files(group_.mount);
  for (std::size_t done = 0; done < groups.size() && pids.size() < kMaxProcesses; ++done) {
    const std::string path = groups[done];
    const std::string text = files.read(path + "/cgroup.procs");
    for (std::string_view rest = text; auto line = take_line(rest);)
      if (const auto pid = number<pid_t>(*line, 0); pid > 0) pids.push_back(pid);
    std::error_code error;
    for (std::filesystem::directory_iterator it(group_.mount + path, error), end; !error && it != end;
         it.increment(error))
      if (groups.size() < kMaxGroups && it->is_directory(error))
        groups.push_back(path + "/" + it->path().filename().native());
  }
  return pids;
}

// Whose a process is, is its nearest known ancestor's: Drover's or a job's, or else foreign. Where an ancestor has
// ended since it was listed, as a job's init may, it is what it was before, and nobody's if it is new.
ForeignMeter::Processes ForeignMeter::find_foreign(std::span<const pid_t> job_inits) const {
  struct Seen {
    Process process;
    bool ours;
  };
  std::unordered_map<pid_t, Seen> all;
  std::unordered_set<pid_t> gone;
  for (const pid_t pid : list_group()) {
    const auto stat = parse_pid_stat(proc_.read("{}/stat", pid));
    if (!stat) {
      gone.insert(pid);
      continue;
    }
    const bool ours = pid == droverd_ || stat->name.starts_with("drover") ||
                      std::find(job_inits.begin(), job_inits.end(), pid) != job_inits.end();
    const Process process{stat->parent, stat->user_ticks + stat->system_ticks,
                          stat->children_user_ticks + stat->children_system_ticks, stat->start_ticks, stat->threads};
    all.emplace(pid, Seen{process, ours});
  }
  const auto is_foreign = [&](pid_t pid, const Process& process) {
    pid_t at = pid;
    for (std::size_t steps = 0; steps <= all.size(); ++steps) {  // a PID used anew may close a circle
      const auto found = all.find(at);
      if (found == all.end()) return !gone.contains(at) || find_known(before_, pid, process) != nullptr;
      if (found->second.ours) return false;
      at = found->second.process.parent;
    }
    return true;
  };
  Processes foreign;
  for (const auto& [pid, seen] : all)
    if (is_foreign(pid, seen.process)) foreign.emplace(pid, seen.process);
  return foreign;
}

const ForeignMeter::Process* ForeignMeter::find_known(const Processes& in, pid_t pid, const Process& process) {
  const auto found = in.find(pid);
  return found != in.end() && found->second.start_ticks == process.start_ticks ? &found->second : nullptr;
}

// What was used since the last walk. The time of a child that has ended was counted while it lived, and is in the time
// of whoever waited for it now: it is taken off again.
double ForeignMeter::ticks_used(const Processes& now, double seconds) const {
  double used = 0;
  for (const auto& [pid, process] : now) {
    if (const Process* before = find_known(before_, pid, process); before != nullptr) {
      used += static_cast<double>(growth(before->own_ticks, process.own_ticks) +
                                  growth(before->children_ticks, process.children_ticks));
    } else {  // new, or come into the group with what it used elsewhere
      used += std::min(static_cast<double>(process.own_ticks + process.children_ticks),
                       seconds * ticks_per_second() * static_cast<double>(process.threads));
    }
  }
  for (const auto& [pid, process] : before_) {
    if (find_known(now, pid, process) != nullptr) continue;
    auto ancestor = before_.find(process.parent);
    for (std::size_t steps = 0; steps < before_.size() && ancestor != before_.end(); ++steps) {
      if (find_known(now, ancestor->first, ancestor->second) != nullptr) {
        used -= static_cast<double>(process.own_ticks + process.children_ticks);
        break;
      }
      ancestor = before_.find(ancestor->second.parent);
    }
  }
  return std::clamp(used, 0.0, seconds * ticks_per_second() * host_pus_);
}

// A thread that a quota keeps from running waits in the kernel's books as one that others keep from it does: measured
// on 6.18, a busy loop under a quota of half a CPU runs for half of the time and waits for the other half.
ForeignMeter::Waits ForeignMeter::read_waits(const Processes& now) const {
  Waits waits;
  const auto read = [&](pid_t pid, pid_t tid) {
    if (const auto schedule = parse_thread_schedule(proc_.read("{}/task/{}/schedstat", pid, tid)))
      waits[tid] = schedule->waiting_ns;
  };
  for (const auto& [pid, process] : now) {
    if (process.threads <= 1) {
      read(pid, pid);
      continue;
    }
    std::error_code error;
    for (std::filesystem::directory_iterator it(fmt::format("{}/{}/task", proc_.root(), pid), error), end;
         !error && it != end; it.increment(error))
      if (const auto tid = number<pid_t>(it->path().filename().native(), 0); tid > 0) read(pid, tid);
  }
  return waits;
}

}  // namespace drover
