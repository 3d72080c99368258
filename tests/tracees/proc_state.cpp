#include "tests/tracees/proc_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"

namespace drover {

// Neighbouring areas that differ in nothing are merged: whether the kernel does so depends on history.
static void add_maps(pid_t pid, ProcState& state) {
  std::vector<Mapping> merged;
  for (Mapping& m : parse_smaps(read_text(proc_path(pid, "smaps")))) {
    if (m.path == "[vsyscall]") continue;
    const bool deleted = m.path.find("(deleted)") != std::string::npos;
    if (m.inode != 0 && deleted) m.inode = 0;
    // An unlinked file is made anew in its folder, under no name.
    const bool named = m.path.compare(0, 7, "/memfd:") == 0 || m.path.compare(0, 9, "/dev/zero") == 0;
    // A semaphore was opened by a name that it has no longer.
    const bool semaphore = m.path.compare(0, 13, "/dev/shm/sem.") == 0;
    if (semaphore) m.inode = 0;
    if ((deleted && !named) || semaphore) m.path = m.path.substr(0, m.path.rfind('/'));
    std::string flags;  // "me" and its kind do not change; "sd" (soft-dirty) and "gu" (there may have been a guard) do
    std::string_view rest = m.flags;
    for (auto word = next_word(rest); !word.empty(); word = next_word(rest)) {
      if (word != "sd" && word != "ac" && word != "nr" && word != "gu") flags += std::string(word) + " ";
    }
    m.flags = flags;
    const bool joins = !merged.empty() && merged.back().end == m.start && merged.back().path == m.path &&
                       merged.back().prot == m.prot && merged.back().flags == m.flags &&
                       merged.back().inode == m.inode &&
                       (m.inode == 0 || merged.back().offset + merged.back().bytes() == m.offset);
    if (joins)
      merged.back().end = m.end;
    else
      merged.push_back(m);
  }
  for (const Mapping& m : merged)
    state[fmt::format("maps/{:x}-{:x}", m.start, m.end)] =
        fmt::format("{} {} {} {} {}", m.prot, m.shared, m.inode == 0 ? 0 : m.offset, m.path, m.flags);
}

static constexpr std::array<std::string_view, 20> kStatus = {
    "Name:",   "Umask:",  "Uid:",     "Gid:",        "Groups:",      "Threads:",     "SigPnd:",
    "ShdPnd:", "SigBlk:", "SigIgn:",  "SigCgt:",     "CapInh:",      "CapPrm:",      "CapEff:",
    "CapBnd:", "CapAmb:", "Seccomp:", "NoNewPrivs:", "THP_enabled:", "Cpus_allowed:"};
// What a main thread that has ended has still to tell.
static constexpr std::array<std::string_view, 10> kIdentity = {
    "Name:", "Uid:", "Gid:", "Groups:", "Threads:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};

static void add_status(pid_t pid, pid_t tid, std::span<const std::string_view> fields, ProcState& state) {
  const std::string text = read_text(fmt::format("/proc/{}/task/{}/status", pid, tid));
  std::string_view rest = text;
  for (std::string_view line; next_line(rest, line);) {
    const auto key = next_word(line);
    if (std::find(fields.begin(), fields.end(), key) != fields.end())
      state[fmt::format("task/{}/{}", tid, key)] = std::string(line);
  }
}

static void add_thread(pid_t pid, pid_t tid, ProcState& state) {
  const std::string base = fmt::format("/proc/{}/task/{}/", pid, tid);
  for (const char* name : {"personality", "oom_score_adj", "timerslack_ns", "comm"})
    state[fmt::format("task/{}/{}", tid, name)] = try_read_text(base + name).value_or("-");
}

static void add_files(pid_t pid, ProcState& state) {
  for (const int fd : list_numbers(proc_path(pid, "fd"))) {
    std::string link = try_read_link(proc_path(pid, fmt::format("fd/{}", fd))).value_or("gone");
    if (link.compare(0, 7, "socket:") == 0) link = "socket";  // numbers are the kernel's
    if (link.find("(deleted)") != std::string::npos) link = "unlinked file";
    if (link.compare(0, 5, "pipe:") == 0) link = "pipe";
    state[fmt::format("fd/{}", fd)] = link;
    const std::string text = try_read_text(proc_path(pid, fmt::format("fdinfo/{}", fd))).value_or("");
    std::string_view rest = text;
    for (std::string_view line; next_line(rest, line);) {
      const auto key = next_word(line);
      if (key == "pos:" || key == "flags:" || key == "eventfd-count:") state[fmt::format("fd/{}/{}", fd, key)] = line;
    }
  }
}

ProcState read_proc_state(pid_t pid) try {
  ProcState state;
  std::optional<SeenThrough> seen_through;
  if (const pid_t thread = without_main_thread(pid); thread != 0) seen_through.emplace(pid, thread);
  add_maps(pid, state);
  for (const pid_t tid : list_threads(pid)) {
    const bool ended = tid == pid && seen_through;
    add_status(pid, tid, ended ? std::span<const std::string_view>(kIdentity) : kStatus, state);
    if (!ended) add_thread(pid, tid, state);
  }
  add_files(pid, state);
  const TaskStat stat = parse_task_stat(read_text(proc_path(pid, "stat")));
  state["terminal"] = fmt::format("{} {}", stat.terminal, stat.foreground_group);
  for (const char* name : {"cwd", "root", "exe"}) {
    std::string link = read_link(proc_path(pid, name));
    // A program that is gone comes back without a name, as unlinked files do.
    if (link.find(" (deleted)") != std::string::npos) link = link.substr(0, link.rfind('/')) + " (deleted)";
    state[name] = link;
  }
  for (const char* name : {"cmdline", "environ", "auxv", "limits"}) state[name] = read_text(proc_path(pid, name));
  return state;
} catch (const SystemError& error) {
  return {{"error", error.what()}};
}

std::vector<std::string> differences(const ProcState& before, const ProcState& after) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : before) {
    const auto found = after.find(key);
    if (found == after.end())
      lines.push_back(fmt::format("{}: \"{}\" is gone", key, value));
    else if (found->second != value)
      lines.push_back(fmt::format("{}: \"{}\" -> \"{}\"", key, value, found->second));
  }
  for (const auto& [key, value] : after) {
    if (before.count(key) == 0) lines.push_back(fmt::format("{}: \"{}\" is new", key, value));
  }
  return lines;
}

}  // namespace drover
