#include "ckpt/dump/obstacles.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <list>

#include "ckpt/freeze/tree_impl.h"
#include "ckpt/sys/features.h"
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
    if (path.compare(0, 6, "/proc/") == 0 && path.size() > 6 && std::isdigit(static_cast<unsigned char>(path[6])) != 0)
      return Refusal{fmt::format("its {} directory is of a process, {}", name, path)};
    struct stat there {
    }, here{};
    const bool same = ::stat(proc_path(pid, link).c_str(), &there) == 0 && ::stat(path.c_str(), &here) == 0 &&
                      there.st_dev == here.st_dev && there.st_ino == here.st_ino;
    const DumpOptions options;
    TreeObjects unused(options);
    std::optional<std::uint32_t> object;
    if (!same && link == std::string_view("cwd"))
      return plan_gone_directory(path, there, "working directory", unused, object);
    if (!same) return Refusal{fmt::format("its {} directory is gone, {}", name, path)};
  }
  return std::nullopt;
}

static std::optional<Refusal> find_obstacle(pid_t pid, int seccomp, pid_t namespaces_of, bool frozen) {
  const auto text = try_read_text(proc_path(pid, "stat"));
  if (!text) return Refusal{fmt::format("there is no process {}", pid)};
  const TaskStat stat = parse_task_stat(*text);
  if (stat.state == 'Z' || stat.state == 'X') {
    Refusal refusal{fmt::format("process {} has exited", pid)};
    refusal.passing = frozen;  // killed by one of its threads at the last moment
    return refusal;
  }
  if (auto refusal = find_namespace_obstacle(pid, namespaces_of)) return refusal;
  if (seccomp != 0 && !may_suspend_seccomp()) return Refusal{fmt::format("process {} has a seccomp filter", pid)};
  return find_directory_obstacle(pid);
}

std::optional<Refusal> find_process_obstacle(const FrozenProcess& process) {
  return find_obstacle(process.pid, status_of(process, process.threads.front()).seccomp, 0, true);
}

enum class End { None, UnderWay, Over };

// One that gives back its memory, which takes its time, has what it held open until then (do_exit()); a leader that has
// ended leaves it to its threads.
static End end_of(pid_t pid) {
  const auto text = try_read_text(proc_path(pid, "stat"));
  if (!text) return End::Over;
  const TaskStat stat = parse_task_stat(*text);
  if (stat.state == 'Z' || stat.state == 'X') return stat.threads > 1 ? End::UnderWay : End::Over;
  return !try_read_link(proc_path(pid, "exe")) && errno == ENOENT ? End::UnderWay : End::None;
}

bool is_carried(const DumpOptions& options, const std::string& path) {
  return std::find(options.carry.begin(), options.carry.end(), path) != options.carry.end();
}

// Only the root must be there: the others come and go while we look.
static std::optional<Refusal> find_obstacle_of(pid_t pid, bool root, const DumpOptions& options,
                                               TreeObjects& objects) try {
  const auto status = try_read_text(proc_path(pid, "status"));
  if (!status) return Refusal{fmt::format("there is no process {}", pid)};
  if (auto refusal = find_obstacle(pid, parse_task_status(*status).seccomp, options.namespaces_of, false))
    return refusal;
  auto memory = plan_memory(pid, parse_maps(read_text(proc_path(pid, "maps"))), objects);
  if (auto* refusal = std::get_if<Refusal>(&memory)) return *refusal;
  return std::nullopt;
} catch (const SystemError&) {
  if (end_of(pid) == End::None) throw;
  if (root) return Refusal{fmt::format("process {} has exited", pid)};
  return std::nullopt;
}

static std::optional<Refusal> look_once(pid_t root, const DumpOptions& options) {
  TreeObjects objects(options);
  std::vector<pid_t> living, ended;
  std::list<SeenThrough> seen_through;
  bool any_ends = false;
  for (const pid_t pid : list_tree(root, options.reaper != 0 ? options.reaper : options.namespaces_of)) {
    if (const pid_t thread = without_main_thread(pid); thread != 0) seen_through.emplace_back(pid, thread);
    if (const End end = pid == root ? End::None : end_of(pid); end != End::None) {
      any_ends |= end == End::UnderWay;
      ended.push_back(pid);
      continue;
    }
    if (auto refusal = find_obstacle_of(pid, pid == root, options, objects)) {
      if (pid == root || end_of(pid) == End::None) return refusal;
      continue;
    }
    living.push_back(pid);
  }
  auto files = plan_files(living, ended, options, objects, false);
  auto* refusal = std::get_if<Refusal>(&files);
  if (refusal == nullptr) return std::nullopt;
  refusal->passing |= any_ends;  // what leads to it seems to lead outside
  return *refusal;
}

// Of running processes one sees no single moment: a pipe seems to lead out of the tree when its other holder
// was not yet, or no longer, among those looked at. What is so three times in a row is so.
std::optional<Refusal> find_obstacle(pid_t root, const DumpOptions& options) try {
  constexpr int kTimes = 3, kLooks = 10;
  std::optional<Refusal> last;
  for (int times = 0, look = 0; look < kLooks; ++look) {
    auto refusal = look_once(root, options);
    if (!refusal) return refusal;
    times = last && last->reason == refusal->reason ? times + 1 : 1;
    last = std::move(refusal);
    if (times == kTimes) return last;
  }
  return std::nullopt;  // dump() will know
} catch (const SystemError& error) {
  return Refusal{error.what()};
}

}  // namespace drover
