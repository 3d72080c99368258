// What droverd looks up about the jobs here once a second: memory, CPU time, and whether something keeps a job from
// moving.
#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "ckpt/dump/dump.h"
#include "runtime/control/clock.h"
#include "runtime/jobs/placed.h"

namespace drover {

namespace {

std::vector<pid_t> children_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/children", pid, pid));
  std::vector<pid_t> children;
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

// The last number of NSpid is the PID in the innermost namespace (Linux >= 4.1).
pid_t innermost_pid(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("NSpid:", 0) != 0) continue;
    std::istringstream fields(line.substr(6));
    pid_t last = 0;
    while (fields >> last) {
    }
    return last;
  }
  return 0;
}

}  // namespace

// A large heap may be mostly zeros, which are not sent. Looked at only when a move is being thought of, and not again
// soon: to look is cheap, but the job's own page table is locked meanwhile.
double PlacedJobs::zero_share(PlacedJob& job) {
  constexpr std::uint64_t kLargeKib = 64 * 1024, kKeepNs = 10'000'000'000;
  constexpr unsigned kSample = 64;
  if (job.holdings.memory.anonymous_kib < kLargeKib) return 0;
  const std::uint64_t now = monotonic_ns();
  if (job.zero_share_ns == 0 || now - job.zero_share_ns > kKeepNs) {
    job.zero_share = sample_zero_share(job.holdings.largest, kSample, now);
    job.zero_share_ns = now;
  }
  return job.zero_share;
}

// A job with thousands of sockets takes longer to look at than there is time for every second.
void PlacedJobs::refresh_facts() {
  const std::uint64_t now = monotonic_ns();
  for (auto& [id, job] : jobs_) {
    const bool here = job.stage == shepherd::Stage::Running || job.stage == shepherd::Stage::Held;
    if (!here || job.init_pid <= 0 || job.moving_out) continue;
    if (!job.looks.allows(now)) continue;
    job.looks.begin();
    look_at(job);
    job.looks.end(now);
  }
}

void PlacedJobs::look_at(PlacedJob& job) {
  pid_t root = 0;
  for (const pid_t child : children_of(job.init_pid)) {
    if (!job.facts.pinned_here && innermost_pid(child) != job.root_pid) continue;
    root = child;
    break;
  }
  if (root == 0) return;
  job.holdings = holdings_of_tree(root, job.facts.pinned_here ? 0 : job.init_pid);
  job.cpu_seconds = static_cast<double>(job.facts.cpu_ns) / 1e9 + job.holdings.cpu_seconds;
  if (job.facts.pinned_here || job.stage == shepherd::Stage::Held) return;  // whoever holds it would be an obstacle
  DumpOptions options;
  options.namespaces_of = job.init_pid;
  options.own_ipc = true;
  options.terminal = job.facts.terminal;
  const char* keys[] = {"stdin", "stdout", "stderr"};
  for (std::size_t i = 0; i < 3; ++i) options.external.push_back({job.pipe_device, job.pipe_inodes[i], keys[i]});
  const auto obstacle = find_obstacle(root, options);
  job.obstacle = obstacle && !obstacle->passing ? obstacle->reason : "";
  job.facts.pinned = job.obstacle;
}

}  // namespace drover
