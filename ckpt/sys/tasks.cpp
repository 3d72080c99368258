#include "ckpt/sys/tasks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iterator>
#include <map>
#include <mutex>

#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static std::mutex seen_through_mutex;
static std::multimap<pid_t, pid_t> seen_through;
static std::atomic<std::size_t> seen_through_count;  // 0 nearly always

SeenThrough::SeenThrough(pid_t process, pid_t tid) : process_(process), tid_(tid) {
  const std::lock_guard lock(seen_through_mutex);
  seen_through.emplace(process, tid);  // behind those that are there (C++11)
  seen_through_count = seen_through.size();
}
SeenThrough::~SeenThrough() {
  const std::lock_guard lock(seen_through_mutex);
  auto [one, end] = seen_through.equal_range(process_);
  while (one != end && one->second != tid_) ++one;
  if (one != end) seen_through.erase(one);
  seen_through_count = seen_through.size();
}

pid_t task_of(pid_t process) {
  if (seen_through_count == 0) return process;
  const std::lock_guard lock(seen_through_mutex);
  const auto [first, end] = seen_through.equal_range(process);
  return first != end ? std::prev(end)->second : process;
}

std::vector<pid_t> list_threads(pid_t pid) {
  std::vector<pid_t> threads = list_numbers(proc_path(pid, "task"));
  const auto main = std::find(threads.begin(), threads.end(), pid);
  if (main != threads.end()) std::rotate(threads.begin(), main, main + 1);
  return threads;
}

static bool has_ended(const std::string& stat_path) {
  const auto text = try_read_text(stat_path);
  if (!text) return true;
  const TaskStat stat = parse_task_stat(*text);
  return stat.state == 'Z' || stat.state == 'X';
}

pid_t without_main_thread(pid_t process) try {
  const auto text = try_read_text(fmt::format("/proc/{}/stat", process));
  if (!text) return 0;
  if (const TaskStat stat = parse_task_stat(*text); stat.state != 'Z' || stat.threads < 2) return 0;
  for (const pid_t tid : list_numbers(fmt::format("/proc/{}/task", process))) {
    if (!has_ended(fmt::format("/proc/{}/task/{}/stat", process, tid))) return tid;
  }
  return 0;
} catch (const SystemError&) {  // it has ended
  return 0;
}

std::vector<pid_t> parse_children(std::string_view text) {
  std::vector<pid_t> children;
  while (const pid_t child = static_cast<pid_t>(to_number(next_word(text)).value_or(0))) children.push_back(child);
  return children;
}

std::vector<pid_t> list_children(pid_t pid) {
  std::vector<pid_t> children, threads;
  try {
    threads = list_threads(pid);
  } catch (const SystemError&) {
    return {};
  }
  const UniqueFd tasks(::open(proc_path(pid, "task").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!tasks) return {};
  for (const pid_t tid : threads) {
    // CONFIG_PROC_CHILDREN; exact only while the tree is stopped (proc_tid_children(5)).
    const auto text = try_read_text_at(tasks.get(), fmt::format("{}/children", tid));
    for (const pid_t child : parse_children(text ? *text : std::string_view())) children.push_back(child);
  }
  return children;
}

// The reaper's own helpers run the same program as it does.
static void add_orphans(pid_t reaper, std::vector<pid_t>& tree) {
  const auto program = try_read_link(proc_path(reaper, "exe"));
  for (const pid_t child : list_children(reaper)) {
    if (child == tree.front() || child == ::getpid()) continue;
    const auto exe = try_read_link(proc_path(child, "exe"));
    const bool reaped_soon = !exe && errno == ENOENT && without_main_thread(child) == 0;  // a zombie
    if (!reaped_soon && exe != program) tree.push_back(child);
  }
}

std::vector<pid_t> list_tree(pid_t root, pid_t reaper, const std::function<std::vector<pid_t>(pid_t)>& children_of) {
  std::vector<pid_t> tree{root};
  if (reaper != 0) add_orphans(reaper, tree);
  for (std::size_t i = 0; i < tree.size(); ++i) {
    for (const pid_t child : children_of(tree[i])) tree.push_back(child);
  }
  return tree;
}

}  // namespace drover
