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
#include "ckpt/sys/cpu.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/protection_keys.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"

namespace drover {

namespace {

// The CPUs that count as all.
class NodeCpus {
 public:
  explicit NodeCpus(const std::vector<int>& node) : node_(node.begin(), node.end()), online_(online_processors()) {
    std::sort(node_.begin(), node_.end());
  }
  bool are_all(const std::vector<std::int32_t>& cpus) const {
    return node_.empty() ? cpus.size() >= online_ : cpus == node_;
  }

 private:
  std::vector<std::int32_t> node_;
  std::size_t online_;
};

// What only the thread itself can tell, and what it can tell as well as others, asked for by one batch.
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
    // Could be asked from here, too; but these run side by side.
    robust_list_at_ = batch_.space(2 * sizeof(std::uint64_t));
    batch_.must("get_robust_list", SYS_get_robust_list, 0, robust_list_at_, robust_list_at_ + sizeof(std::uint64_t));
    attributes_at_ = batch_.space(sizeof(uapi::SchedAttributes));
    batch_.must("sched_getattr", SYS_sched_getattr, 0, attributes_at_, sizeof(uapi::SchedAttributes), 0);
    priority_ = batch_.must("getpriority", SYS_getpriority, PRIO_PROCESS, 0);
    io_priority_ = batch_.may(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, 0);
    cpus_at_ = batch_.space(sizeof(cpu_set_t));
    batch_.must("sched_getaffinity", SYS_sched_getaffinity, 0, sizeof(cpu_set_t), cpus_at_);
  }

  void read_answers(const NodeCpus& node, ThreadState& state) const {
    const Name name = batch_.loaded<Name>(name_at_);
    state.name.assign(name.begin(), std::find(name.begin(), name.end() - 1, '\0'));
    const auto altstack = batch_.loaded<stack_t>(altstack_at_);
    state.altstack_address = reinterpret_cast<std::uint64_t>(altstack.ss_sp);
    state.altstack_bytes = altstack.ss_size;
    state.altstack_flags = altstack.ss_flags;
    state.parent_death_signal = batch_.loaded<int>(death_signal_at_);
    state.tid_address = batch_.loaded<std::uint64_t>(tid_address_at_);
    state.credentials.securebits = static_cast<std::uint32_t>(batch_.result(securebits_));
    if (const auto head = batch_.loaded<std::uint64_t>(robust_list_at_); head != 0) {
      state.robust_list = head;
      state.robust_list_bytes = batch_.loaded<std::uint64_t>(robust_list_at_ + sizeof head);
    }
    read_scheduling(node, state.scheduling);
  }

  Batch& batch() { return batch_; }

 private:
  void read_scheduling(const NodeCpus& node, SchedulingState& scheduling) const {
    const auto attributes = batch_.loaded<uapi::SchedAttributes>(attributes_at_);
    scheduling.policy = attributes.policy;
    scheduling.flags = attributes.flags;
    // sched_getattr() does not tell it under a real-time policy. The call itself answers 20 - nice (getpriority(2)).
    scheduling.nice = 20 - static_cast<std::int32_t>(batch_.result(priority_));
    scheduling.priority = attributes.priority;
    scheduling.runtime = attributes.runtime;
    scheduling.deadline = attributes.deadline;
    scheduling.period = attributes.period;
    scheduling.io_priority = static_cast<std::int32_t>(batch_.result(io_priority_));
    const auto cpus = batch_.loaded<cpu_set_t>(cpus_at_);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &cpus)) scheduling.cpus.push_back(static_cast<std::int32_t>(cpu));
    }
    scheduling.all_node_cpus = node.are_all(scheduling.cpus);
    scheduling.timer_slack_ns = static_cast<std::uint64_t>(batch_.result(slack_));
    if (batch_.result(numa_) == 0) {
      scheduling.numa.mode = batch_.loaded<std::int32_t>(numa_mode_at_);
      scheduling.numa.nodes = batch_.loaded<decltype(NumaPolicy::nodes)>(numa_nodes_at_);
    }
  }

  using Name = std::array<char, 16>;  // TASK_COMM_LEN
  Batch batch_;
  std::uint64_t name_at_ = 0;
  std::uint64_t altstack_at_ = 0, death_signal_at_ = 0, tid_address_at_ = 0, numa_mode_at_ = 0, numa_nodes_at_ = 0;
  std::uint64_t robust_list_at_ = 0, attributes_at_ = 0, cpus_at_ = 0;
  std::size_t numa_ = 0, slack_ = 0, securebits_ = 0, priority_ = 0, io_priority_ = 0;
};

}  // namespace

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
                                  const RemoteSyscalls& syscalls) {
  ThreadState state;
  state.process = process.pid;
  const bool stands_in = !process.main_thread_ended && thread.tid == task_of(process.pid);  // freeze/vfork.h
  state.tid = stands_in ? process.pid : thread.tid;
  static_assert(sizeof state.registers == sizeof thread.registers);
  std::memcpy(state.registers.data(), &thread.registers, sizeof state.registers);
  state.signal_mask = syscalls.saved_mask();
  state.rseq_address = thread.rseq.address;
  state.rseq_bytes = thread.rseq.size;
  state.rseq_signature = thread.rseq.signature;
  state.wait = thread.wait;
  collect_credentials(status_of(process, thread), state.credentials);
  return state;
}

Or<std::vector<ThreadState>> collect_threads(const FrozenProcess& process, InjectedArea& injected,
                                             const DumpOptions& options) {
  std::vector<ThreadQuestions> questions;
  std::vector<RemoteSyscalls::Task> tasks;
  questions.reserve(process.threads.size());
  for (std::size_t i = 0; i < process.threads.size(); ++i) {
    questions.emplace_back(injected.small_batch(i));
    tasks.push_back({&injected.thread(i), &questions[i].batch()});
  }
  RemoteSyscalls::start(injected.area(), tasks);
  const NodeCpus node(options.node_cpus);
  std::vector<ThreadState> threads;
  // What can be known from here, while they answer.
  for (std::size_t i = 0; i < process.threads.size(); ++i)
    threads.push_back(collect_thread(process, process.threads[i], injected.thread(i)));
  RemoteSyscalls::finish(tasks);
  for (std::size_t i = 0; i < process.threads.size(); ++i) {
    threads[i].xstate = injected.thread(i).tracee().xstate();
    set_pkru(threads[i].xstate, pkru_of(threads[i].xstate));  // with its bit
    questions[i].read_answers(node, threads[i]);
  }
  return threads;
}

ThreadState collect_ended_main_thread(const FrozenProcess& process, const ProcessState& state,
                                      const ThreadState& like) {
  ThreadState ended;
  ended.process = ended.tid = process.pid;
  ended.name = state.name;
  ended.registers = like.registers;
  ended.xstate = like.xstate;
  ended.signal_mask = like.signal_mask;
  constexpr std::int32_t kDisable = 2;  // SS_DISABLE
  ended.altstack_flags = kDisable;
  // It schedules no more: what others can inherit from it, but nothing that has to be admitted twice.
  ended.scheduling = like.scheduling;
  ended.scheduling.policy = SCHED_OTHER;
  ended.scheduling.flags = ended.scheduling.runtime = ended.scheduling.deadline = ended.scheduling.period = 0;
  ended.scheduling.priority = 0;
  ended.credentials.securebits = like.credentials.securebits;
  collect_credentials(parse_task_status(read_record(fmt::format("/proc/{}/status", process.pid))), ended.credentials);
  return ended;
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
