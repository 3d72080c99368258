#include "ckpt/dump/obstacles.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"

namespace drover {

std::optional<std::string> without_deleted(const std::string& link) {
  static constexpr std::string_view kRemark = " (deleted)";
  if (link.size() < kRemark.size() || link.compare(link.size() - kRemark.size(), kRemark.size(), kRemark) != 0)
    return std::nullopt;
  return link.substr(0, link.size() - kRemark.size());
}

// A restored process lives in the namespaces of its restorer, so it must live in those of its dumper now. The time
// namespace may differ: it is made anew.
static std::optional<Refusal> find_namespace_obstacle(pid_t pid, pid_t reference) {
  static constexpr std::pair<const char*, const char*> kKinds[] = {
      {"user", "user"}, {"mnt", "mount"},     {"net", "network"}, {"ipc", "IPC"},
      {"uts", "UTS"},   {"cgroup", "cgroup"}, {"pid", "PID"}};
  for (const auto& [file, name] : kKinds) {
    const auto own = try_read_link(reference != 0 ? proc_path(reference, fmt::format("ns/{}", file))
                                                  : fmt::format("/proc/self/ns/{}", file));
    const auto theirs = try_read_link(proc_path(pid, fmt::format("ns/{}", file)));
    if (!theirs) return Refusal{fmt::format("process {} may not be looked at: {}", pid, error_text(errno))};
    if (own && own != theirs) return Refusal{fmt::format("process {} is in a {} namespace of its own", pid, name)};
  }
  return std::nullopt;
}

// Where a process is must be reachable by the path that the kernel shows for it.
static std::optional<Refusal> find_directory_obstacle(pid_t pid) {
  static constexpr std::pair<const char*, const char*> kLinks[] = {{"cwd", "working"}, {"root", "root"}};
  for (const auto& [link, name] : kLinks) {
    const std::string path = read_link(proc_path(pid, link));
    struct stat there {
    }, here{};
    const bool same = ::stat(proc_path(pid, link).c_str(), &there) == 0 && ::stat(path.c_str(), &here) == 0 &&
                      there.st_dev == here.st_dev && there.st_ino == here.st_ino;
    if (!same) return Refusal{fmt::format("its {} directory is gone, {}", name, path)};
  }
  return std::nullopt;
}

std::optional<Refusal> find_process_obstacle(pid_t pid, pid_t namespaces_of) {
  const auto status_text = try_read_text(proc_path(pid, "status")), stat_text = try_read_text(proc_path(pid, "stat"));
  if (!status_text || !stat_text) return Refusal{fmt::format("there is no process {}", pid)};
  const TaskStatus status = parse_task_status(*status_text);
  const TaskStat stat = parse_task_stat(*stat_text);
  if (stat.state == 'Z' || stat.state == 'X') return Refusal{fmt::format("process {} has exited", pid)};
  if (auto refusal = find_namespace_obstacle(pid, namespaces_of)) return refusal;
  if (status.seccomp != 0) return Refusal{fmt::format("process {} has a seccomp filter", pid)};
  if (stat.terminal != 0) return Refusal{fmt::format("process {} has a controlling terminal", pid)};
  return find_directory_obstacle(pid);
}

std::optional<Refusal> find_obstacle(pid_t root, const DumpOptions& options) try {
  if (auto refusal = find_process_obstacle(root, options.namespaces_of)) return refusal;
  if (const std::size_t n = list_tree(root).size(); n > 1) return Refusal{fmt::format("has {} processes", n)};
  auto files = plan_files(root, options);
  if (auto* refusal = std::get_if<Refusal>(&files)) return *refusal;
  auto memory = plan_memory(root, parse_maps(read_text(proc_path(root, "maps"))));
  if (auto* refusal = std::get_if<Refusal>(&memory)) return *refusal;
  return std::nullopt;
} catch (const SystemError& error) {
  return Refusal{error.what()};
}

}  // namespace drover
