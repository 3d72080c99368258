#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

namespace drover {

static TaskStat read_stat(pid_t pid, ProcessState& state) {
  // By its own id: what a thread shows (sys/tasks.h, SeenThrough) has the thread's exit signal.
  TaskStat stat = parse_task_stat(read_text(fmt::format("/proc/{}/stat", pid)));
  state.pid = pid;
  state.name = stat.comm;
  state.parent = stat.parent;
  state.process_group = stat.process_group;
  state.session = stat.session;
  state.exit_signal = stat.exit_signal;
  return stat;
}

ProcessState collect_zombie(pid_t pid) {
  ProcessState state;
  state.zombie = true;
  state.exit_status = read_stat(pid, state).exit_status;
  return state;
}

static void read_proc(const FrozenProcess& process, ProcessState& state) {
  const TaskStat stat = read_stat(process.pid, state);
  state.main_thread_ended = process.main_thread_ended;
  if (process.main_thread_ended) state.exit_status = stat.exit_status;
  const TaskStatus& status = status_of(process, process.threads.front());
  state.stopped_by = process.stopped_by;
  state.thread_count = static_cast<std::uint32_t>(process.threads.size() + (process.main_thread_ended ? 1 : 0));
  state.umask = status.umask;
  if (const auto score = try_read_text(proc_path(process.pid, "oom_score_adj"))) {
    std::string_view rest = *score;
    std::string_view line;
    if (next_line(rest, line)) state.oom_score_adj = static_cast<std::int32_t>(to_signed(line).value_or(0));
  }
}

// A stop or a continuation that the parent has not waited for yet is still to be had from it, and stays so (WNOWAIT).
void collect_untold(InjectedArea& parent, std::span<const pid_t> children, std::map<pid_t, int>& untold) {
  constexpr int kHow = WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT | __WALL;
  constexpr std::size_t kAtOnce = 1000;  // fit in a batch
  Batch batch = parent.area().main_batch();
  batch.want_data();
  for (std::size_t done = 0; done < children.size(); done += kAtOnce) {
    const auto some = children.subspan(done, std::min(kAtOnce, children.size() - done));
    std::vector<std::uint64_t> infos;
    for (const pid_t pid : some) {
      infos.push_back(batch.space(sizeof(siginfo_t)));
      batch.may(SYS_waitid, P_PID, pid, infos.back(), kHow, 0);
    }
    parent.leader().run(parent.area(), batch);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const auto info = batch.loaded<siginfo_t>(infos[i]);
      if (batch.result(i) == 0 && info.si_pid == some[i]) untold[some[i]] = info.si_code;
    }
    batch.clear();
  }
}

Or<ProcessState> collect_process(const FrozenProcess& process, const OwnAnswers& answers, TreeObjects& objects) {
  if (answers.dumpable != 1) return Refusal{fmt::format("process {} is not dumpable", process.pid)};
  ProcessState state;
  read_proc(process, state);
  if (!WIFEXITED(state.exit_status))
    return Refusal{fmt::format("the main thread of process {} has been killed alone", process.pid)};  // seccomp(2)
  state.personality = answers.personality;
  state.dumpable = answers.dumpable;
  state.child_subreaper = answers.child_subreaper;
  state.thp_disabled = answers.thp_disabled;
  for (const rlimit& limit : answers.limits) state.limits.push_back({limit.rlim_cur, limit.rlim_max});
  state.cwd = read_link(proc_path(process.pid, "cwd"));
  state.root = read_link(proc_path(process.pid, "root"));
  struct stat there {};
  check(::stat(proc_path(process.pid, "cwd").c_str(), &there), "stat", state.cwd);
  std::optional<std::uint32_t> gone;
  if (auto refusal = plan_gone_directory(state.cwd, there, "working directory", objects, gone)) return *refusal;
  if (gone) state.cwd_object = static_cast<std::int32_t>(*gone);
  return state;
}

void collect_memory(const FrozenProcess& process, const OwnAnswers& answers, MemoryState& memory) {
  const TaskStat stat = parse_task_stat(read_text(proc_path(process.pid, "stat")));
  memory.start_code = stat.start_code, memory.end_code = stat.end_code;
  memory.start_data = stat.start_data, memory.end_data = stat.end_data;
  memory.start_stack = stat.start_stack, memory.start_brk = stat.start_brk;
  memory.arg_start = stat.arg_start, memory.arg_end = stat.arg_end;
  memory.env_start = stat.env_start, memory.env_end = stat.env_end;
  const std::string auxv = read_text(proc_path(process.pid, "auxv"));
  const auto bytes = std::as_bytes(std::span(auxv));
  memory.auxv.assign(bytes.begin(), bytes.end());
  memory.brk = answers.brk;
}

}  // namespace drover
