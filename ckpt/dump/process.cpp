#include <fmt/format.h>
#include <sys/prctl.h>
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
  TaskStat stat = parse_task_stat(read_text(proc_path(pid, "stat")));
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
  read_stat(process.pid, state);
  const TaskStatus& status = status_of(process, process.threads.front());
  state.stopped_by = process.stopped_by;
  state.thread_count = static_cast<std::uint32_t>(process.threads.size());
  state.umask = status.umask;
  state.thp_disabled = !status.thp_enabled;
  if (const auto score = try_read_text(proc_path(process.pid, "oom_score_adj"))) {
    std::string_view rest = *score;
    std::string_view line;
    if (next_line(rest, line)) state.oom_score_adj = static_cast<std::int32_t>(to_signed(line).value_or(0));
  }
}

static void ask_process(const FrozenProcess& process, InjectedArea& injected, ProcessState& state) {
  Batch batch = injected.area().main_batch();
  const auto personality = batch.may(SYS_personality, 0xffffffff);
  const auto dumpable = batch.may(SYS_prctl, PR_GET_DUMPABLE);
  const auto subreaper_at = batch.space(sizeof(int));
  batch.may(SYS_prctl, PR_GET_CHILD_SUBREAPER, subreaper_at);
  const auto thp = batch.may(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
  const auto limits_at = batch.space(sizeof(rlimit) * RLIM_NLIMITS);
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource)
    batch.must("prlimit64", SYS_prlimit64, 0, resource, 0,
               limits_at + sizeof(rlimit) * static_cast<unsigned>(resource));
  injected.leader().run(injected.area(), batch);
  state.personality = static_cast<std::uint64_t>(batch.result(personality));
  state.dumpable = static_cast<std::int32_t>(batch.result(dumpable));
  state.child_subreaper = process.memory.load<int>(subreaper_at) != 0;
  state.thp_disabled = batch.result(thp) == 1;
  const auto limits = process.memory.load<std::array<rlimit, RLIM_NLIMITS>>(limits_at);
  for (const rlimit& limit : limits) state.limits.push_back({limit.rlim_cur, limit.rlim_max});
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

Or<ProcessState> collect_process(const FrozenProcess& process, InjectedArea& injected, TreeObjects& objects) {
  ProcessState state;
  read_proc(process, state);
  state.cwd = read_link(proc_path(process.pid, "cwd"));
  state.root = read_link(proc_path(process.pid, "root"));
  struct stat there {};
  check(::stat(proc_path(process.pid, "cwd").c_str(), &there), "stat", state.cwd);
  std::optional<std::uint32_t> gone;
  if (auto refusal = plan_gone_directory(state.cwd, there, "working directory", objects, gone)) return *refusal;
  if (gone) state.cwd_object = static_cast<std::int32_t>(*gone);
  ask_process(process, injected, state);
  if (state.dumpable != 1) return Refusal{fmt::format("process {} is not dumpable", process.pid)};
  return state;
}

void collect_memory(const FrozenProcess& process, InjectedArea& injected, MemoryState& memory) {
  const TaskStat stat = parse_task_stat(read_text(proc_path(process.pid, "stat")));
  memory.start_code = stat.start_code, memory.end_code = stat.end_code;
  memory.start_data = stat.start_data, memory.end_data = stat.end_data;
  memory.start_stack = stat.start_stack, memory.start_brk = stat.start_brk;
  memory.arg_start = stat.arg_start, memory.arg_end = stat.arg_end;
  memory.env_start = stat.env_start, memory.env_end = stat.env_end;
  const std::string auxv = read_text(proc_path(process.pid, "auxv"));
  const auto bytes = std::as_bytes(std::span(auxv));
  memory.auxv.assign(bytes.begin(), bytes.end());
  Batch batch = injected.area().main_batch();
  const auto brk = batch.may(SYS_brk, 0);
  injected.leader().run(injected.area(), batch);
  memory.brk = static_cast<std::uint64_t>(batch.result(brk));
}

}  // namespace drover
