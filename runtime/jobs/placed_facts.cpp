// What droverd looks up about the jobs here once a second: memory, CPU time, and whether something keeps a job from
// moving.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "ckpt/dump/dump.h"
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

struct Usage {
  std::uint64_t resident_kib = 0;
  double cpu_seconds = 0;
};

Usage usage_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(')');  // the name may hold anything, brackets too
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 2));
  std::vector<std::string> values;
  for (std::string value; fields >> value;) values.push_back(value);
  if (values.size() < 22) return {};
  // proc(5): utime is field 14, stime 15, rss 24; values[0] is field 3.
  const double ticks = std::stod(values[11]) + std::stod(values[12]);
  return {std::stoull(values[21]) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024,
          ticks / static_cast<double>(::sysconf(_SC_CLK_TCK))};
}

Usage usage_of_tree(pid_t root) {
  Usage total = usage_of(root);
  for (const pid_t child : children_of(root)) {
    const Usage below = usage_of_tree(child);
    total.resident_kib += below.resident_kib;
    total.cpu_seconds += below.cpu_seconds;
  }
  return total;
}

}  // namespace

void PlacedJobs::refresh_facts() {
  for (auto& [id, job] : jobs_) {
    if (job.stage != shepherd::Stage::Running || job.init_pid <= 0 || job.moving_out) continue;
    pid_t root = 0;
    for (const pid_t child : children_of(job.init_pid))
      if (job.facts.pinned_here || innermost_pid(child) == job.root_pid) {
        root = child;
        break;
      }
    if (root == 0) continue;
    const Usage usage = usage_of_tree(root);
    job.resident_kib = usage.resident_kib;
    job.cpu_seconds = static_cast<double>(job.facts.cpu_ns) / 1e9 + usage.cpu_seconds;
    if (job.facts.pinned_here) continue;
    DumpOptions options;
    options.namespaces_of = job.init_pid;
    options.own_ipc = true;
    const char* keys[] = {"stdin", "stdout", "stderr"};
    for (std::size_t i = 0; i < 3; ++i) options.external.push_back({job.pipe_device, job.pipe_inodes[i], keys[i]});
    const auto obstacle = find_obstacle(root, options);
    job.obstacle = obstacle ? obstacle->reason : "";
    job.facts.pinned = job.obstacle;
  }
}

}  // namespace drover
