#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/protection_keys.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"

namespace drover {

namespace {

// What only the thread itself can tell, asked for by one batch.
class ThreadQuestions {
 public:
  explicit ThreadQuestions(Batch batch) : batch_(std::move(batch)) {
    batch_.want_data();
    altstack_at_ = batch_.space(sizeof(stack_t));
    batch_.must("sigaltstack", SYS_sigaltstack, 0, altstack_at_);
    death_signal_at_ = batch_.space(sizeof(int));
    batch_.must("PR_GET_PDEATHSIG", SYS_prctl, PR_GET_PDEATHSIG, death_signal_at_);
    tid_address_at_ = batch_.space(sizeof(std::uint64_t));
    batch_.must("PR_GET_TID_ADDRESS", SYS_prctl, uapi::kGetTidAddress, tid_address_at_);
    slack_ = batch_.must("PR_GET_TIMERSLACK", SYS_prctl, PR_GET_TIMERSLACK);
    name_at_ = batch_.space(sizeof(Name));
    batch_.must("PR_GET_NAME", SYS_prctl, PR_GET_NAME, name_at_);
    numa_mode_at_ = batch_.space(sizeof(std::int32_t));
    numa_nodes_at_ = batch_.space(sizeof(NumaPolicy::nodes));
    numa_ = batch_.may(SYS_get_mempolicy, numa_mode_at_, numa_nodes_at_, kNumaMaskWords * 64, 0, 0);
    securebits_ = batch_.must("PR_GET_SECUREBITS", SYS_prctl, PR_GET_SECUREBITS);
  }

  void read_answers(ThreadState& state) const {
    const Name name = batch_.loaded<Name>(name_at_);
    state.name.assign(name.begin(), std::find(name.begin(), name.end() - 1, '\0'));
    const auto altstack = batch_.loaded<stack_t>(altstack_at_);
    state.altstack_address = reinterpret_cast<std::uint64_t>(altstack.ss_sp);
    state.altstack_bytes = altstack.ss_size;
    state.altstack_flags = altstack.ss_flags;
    state.parent_death_signal = batch_.loaded<int>(death_signal_at_);
    state.tid_address = batch_.loaded<std::uint64_t>(tid_address_at_);
    state.scheduling.timer_slack_ns = static_cast<std::uint64_t>(batch_.result(slack_));
    if (batch_.result(numa_) == 0) {
      state.scheduling.numa.mode = batch_.loaded<std::int32_t>(numa_mode_at_);
      state.scheduling.numa.nodes = batch_.loaded<decltype(NumaPolicy::nodes)>(numa_nodes_at_);
    }
    state.credentials.securebits = static_cast<std::uint32_t>(batch_.result(securebits_));
  }

  Batch& batch() { return batch_; }

 private:
  using Name = std::array<char, 16>;  // TASK_COMM_LEN
  Batch batch_;
  std::uint64_t name_at_ = 0;
  std::uint64_t altstack_at_ = 0, death_signal_at_ = 0, tid_address_at_ = 0, numa_mode_at_ = 0, numa_nodes_at_ = 0;
  std::size_t numa_ = 0, slack_ = 0, securebits_ = 0;
};

}  // namespace

static std::vector<std::int32_t> read_affinity(pid_t tid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  check(::sched_getaffinity(tid, sizeof set, &set), "sched_getaffinity", fmt::format("tid {}", tid));
  std::vector<std::int32_t> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(static_cast<std::int32_t>(cpu));
  }
  return cpus;
}

namespace {

// The CPUs that count as all.
class NodeCpus {
 public:
  explicit NodeCpus(const std::vector<int>& node)
      : node_(node.begin(), node.end()), online_(static_cast<std::size_t>(::sysconf(_SC_NPROCESSORS_ONLN))) {
    std::sort(node_.begin(), node_.end());
  }
  bool are_all(const std::vector<std::int32_t>& cpus) const {
    return node_.empty() ? cpus.size() >= online_ : cpus == node_;
  }

 private:
  std::vector<std::int32_t> node_;
  std::size_t online_;
};

}  // namespace

static void collect_scheduling(pid_t tid, const NodeCpus& node, SchedulingState& scheduling) {
  uapi::SchedAttributes attributes{};
  check(::syscall(SYS_sched_getattr, tid, &attributes, sizeof attributes, 0), "sched_getattr",
        fmt::format("tid {}", tid));
  scheduling.policy = attributes.policy;
  scheduling.flags = attributes.flags;
  errno = 0;  // -1 may be the answer; sched_getattr() does not tell it under a real-time policy
  scheduling.nice = ::getpriority(PRIO_PROCESS, static_cast<id_t>(tid));
  if (scheduling.nice == -1 && errno != 0) throw SystemError("getpriority", std::to_string(tid), errno);
  scheduling.priority = attributes.priority;
  scheduling.runtime = attributes.runtime;
  scheduling.deadline = attributes.deadline;
  scheduling.period = attributes.period;
  scheduling.io_priority = static_cast<std::int32_t>(::syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, tid));
  scheduling.cpus = read_affinity(tid);
  scheduling.all_node_cpus = node.are_all(scheduling.cpus);
}

static void collect_credentials(const TaskStatus& status, CredentialsState& credentials) {
  credentials.uid = status.uid;
  credentials.gid = status.gid;
  credentials.groups = status.groups;
  credentials.cap_inheritable = status.cap_inheritable;
  credentials.cap_permitted = status.cap_permitted;
  credentials.cap_effective = status.cap_effective;
  credentials.cap_bounding = status.cap_bounding;
  credentials.cap_ambient = status.cap_ambient;
  credentials.no_new_privs = status.no_new_privs;
}

static ThreadState collect_thread(const FrozenProcess& process, const FrozenThread& thread,
                                  const RemoteSyscalls& syscalls, const NodeCpus& node) {
  ThreadState state;
  state.process = process.pid;
  state.tid = thread.tid;
  static_assert(sizeof state.registers == sizeof thread.registers);
  std::memcpy(state.registers.data(), &thread.registers, sizeof state.registers);
  state.xstate = syscalls.tracee().xstate();
  set_pkru(state.xstate, pkru_of(state.xstate));  // with its bit
  state.signal_mask = syscalls.saved_mask();
  state.rseq_address = thread.rseq.address;
  state.rseq_bytes = thread.rseq.size;
  state.rseq_signature = thread.rseq.signature;
  state.wait = thread.wait;
  std::size_t length = 0;
  void* head = nullptr;
  if (::syscall(SYS_get_robust_list, thread.tid, &head, &length) == 0) {
    state.robust_list = reinterpret_cast<std::uint64_t>(head);
    state.robust_list_bytes = length;
  }
  collect_scheduling(thread.tid, node, state.scheduling);
  collect_credentials(status_of(process, thread), state.credentials);
  return state;
}

Or<std::vector<ThreadState>> collect_threads(const FrozenProcess& process, InjectedArea& injected,
                                             const DumpOptions& options) {
  std::vector<ThreadQuestions> questions;
  for (std::size_t i = 0; i < process.threads.size(); ++i) {
    questions.emplace_back(injected.batch(i));
    injected.thread(i).start(injected.area(), questions[i].batch());
  }
  const NodeCpus node(options.node_cpus);
  std::vector<ThreadState> threads;
  for (std::size_t i = 0; i < process.threads.size(); ++i) {
    injected.thread(i).finish(questions[i].batch());
    threads.push_back(collect_thread(process, process.threads[i], injected.thread(i), node));
    questions[i].read_answers(threads.back());
  }
  return threads;
}

static std::string name_of_call(long number) {
  static constexpr std::pair<long, const char*> kNames[] = {{SYS_nanosleep, "nanosleep"},
                                                            {SYS_clock_nanosleep, "clock_nanosleep"},
                                                            {SYS_poll, "poll"},
                                                            {SYS_futex, "futex"},
                                                            {SYS_epoll_wait, "epoll_wait"},
                                                            {SYS_epoll_pwait, "epoll_pwait"},
                                                            {SYS_epoll_pwait2, "epoll_pwait2"},
                                                            {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
                                                            {SYS_semtimedop, "semtimedop"},
                                                            {SYS_io_getevents, "io_getevents"},
                                                            {SYS_io_pgetevents, "io_pgetevents"}};
  for (const auto& [known, name] : kNames) {
    if (known == number) return name;
  }
  return fmt::format("system call {}", number);
}

void add_estimated_waits(const std::vector<ThreadState>& threads, std::vector<EstimatedWait>& waits) {
  for (const ThreadState& thread : threads) {
    if (!thread.wait || !thread.wait->estimated) continue;
    Registers registers{};
    std::memcpy(&registers, thread.registers.data(), sizeof registers);
    waits.push_back({thread.tid, name_of_call(static_cast<long>(registers.orig_rax)), thread.wait->remaining_ns});
  }
}

}  // namespace drover
