#include "ckpt/tool/inside.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static bool same_namespace(pid_t pid, const char* name) {
  const auto ours = try_read_link(fmt::format("/proc/self/ns/{}", name));
  const auto theirs = try_read_link(proc_path(pid, fmt::format("ns/{}", name)));
  return !ours || !theirs || ours == theirs;
}

bool runs_our_program(pid_t pid) {
  struct stat ours {
  }, theirs{};
  return ::stat("/proc/self/exe", &ours) == 0 && ::stat(proc_path(pid, "exe").c_str(), &theirs) == 0 &&
         ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

// Who makes a tree may stay with it for long, without tracing it (restore_command.cpp): not its end is waited for.
bool wait_for_our_tracer(pid_t thread) {
  constexpr int kMomentMs = 10;
  const auto tracer_of = [](pid_t tid) {
    const auto status = try_read_text(proc_path(tid, "status"));
    return status ? parse_task_status(*status).tracer : 0;
  };
  const pid_t tracer = tracer_of(thread);
  if (tracer == 0) return true;
  if (!runs_our_program(tracer)) return tracer_of(thread) != tracer;  // it may have ended since
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, tracer, 0)));
  pollfd ended{process.get(), POLLIN, 0};
  while (process && tracer_of(thread) == tracer) {
    if (::poll(&ended, 1, kMomentMs) == 1) break;
  }
  return true;
}

// The process itself or the nearest of its ancestors that is PID 1 in its namespace.
static pid_t find_init(pid_t pid) {
  while (pid > 1) {
    const auto status = try_read_text(proc_path(pid, "status")), stat = try_read_text(proc_path(pid, "stat"));
    if (!status || !stat) return 0;
    const auto pids = parse_task_status(*status).namespace_pids;
    if (pids.size() > 1 && pids.back() == 1) return pid;
    pid = parse_task_stat(*stat).parent;
  }
  return 0;
}

std::optional<Inside> find_inside(pid_t pid) {
  if (same_namespace(pid, "pid")) return std::nullopt;
  const auto status = try_read_text(fmt::format("/proc/{}/status", pid));  // its own, not a thread's (sys/tasks.h)
  const pid_t init = find_init(pid);
  if (!status || init == 0 || init == pid || !runs_our_program(init)) return std::nullopt;
  return Inside{pid, init, parse_task_status(*status).namespace_pids.back(), !same_namespace(pid, "ipc")};
}

static void enter(const UniqueFd& process, pid_t pid) {
  static constexpr std::pair<const char*, int> kKinds[] = {
      {"user", CLONE_NEWUSER}, {"pid", CLONE_NEWPID}, {"mnt", CLONE_NEWNS}, {"ipc", CLONE_NEWIPC}};
  int kinds = 0;
  for (const auto& [name, kind] : kKinds) {
    if (!same_namespace(pid, name)) kinds |= kind;
  }
  // Of all at once, the user namespace first (setns(2), Linux >= 5.8).
  check(::setns(process.get(), kinds), "setns", fmt::format("process {}", pid));
  check(::prctl(PR_SET_DUMPABLE, 1), "PR_SET_DUMPABLE");  // else our own /proc files are root's
}

void run_inside(const Inside& inside, const std::function<void()>& work) {
  const UniqueFd process(check(static_cast<int>(::syscall(SYS_pidfd_open, inside.init, 0)), "pidfd_open"));
  enter(process, inside.outside);
  if (check(::fork(), "fork") == 0) {
    try {
      work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "drover-ckpt: {}\n", error.what());
    }
    ::_exit(0);
  }
}

}  // namespace drover
