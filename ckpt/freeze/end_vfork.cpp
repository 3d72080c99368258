// Exchanges the wait: the steps of vfork.h, one after the other.
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "ckpt/freeze/injected_area.h"
#include "ckpt/freeze/rebuild_wait.h"
#include "ckpt/freeze/restartable_sequences.h"
#include "ckpt/freeze/vfork.h"
#include "ckpt/freeze/wait_page.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"

namespace drover {

namespace {

constexpr std::uint64_t kAllSignals = ~std::uint64_t{0};
constexpr std::int64_t kDeadlineNs = 3'000'000'000;

// What must be known of the child, and can only be asked of itself.
struct Answers {
  stack_t altstack{};
  int death_signal = 0;
  std::uint64_t tid_address = 0;
};

Answers ask(InjectedArea& injected, std::size_t thread) {
  Answers answers;
  Batch batch = injected.small_batch(thread);
  batch.want_data();
  const auto altstack = batch.space(sizeof answers.altstack), signal = batch.space(sizeof answers.death_signal);
  const auto address = batch.space(sizeof answers.tid_address);
  batch.must("sigaltstack", SYS_sigaltstack, 0, altstack);
  batch.must("PR_GET_PDEATHSIG", SYS_prctl, PR_GET_PDEATHSIG, signal);
  batch.must("PR_GET_TID_ADDRESS", SYS_prctl, uapi::kGetTidAddress, address);
  injected.thread(thread).run(injected.area(), batch);
  answers.altstack = batch.loaded<stack_t>(altstack);
  answers.death_signal = batch.loaded<int>(signal);
  answers.tid_address = batch.loaded<std::uint64_t>(address);
  return answers;
}

class VforkEnder {
 public:
  VforkEnder(FrozenTree::Impl& tree, FrozenProcess& parent, FrozenThread& waiting, FrozenProcess& child)
      : tree_(tree), parent_(parent), waiting_(waiting), child_(child), main_(child.threads.front()) {}

  std::optional<Refusal> end() {
    if (auto refusal = find_obstacle()) return refusal;
    std::optional<Refusal> refusal;
    try {
      if ((refusal = make_stand_in())) return refusal;
      leave();
    } catch (...) {  // it ends by itself
      if (stand_in_ != 0) Tracee(stand_in_).detach();
      throw;
    }
    bool let_go = false;
    try {
      refusal = send_parent_into_wait(let_go);
    } catch (const TraceeGone&) {
      refusal = has_been_killed(parent_.pid);
    }
    if (let_go) {
      Tracee(stand_in_).detach();  // it sees to the parent when that comes out
      child_.threads.clear();
      return refusal;
    }
    try {
      go_on();
    } catch (const TraceeGone&) {
      Tracee(stand_in_).wait_for(kDeadlineNs);  // its end is ours to see, or its parent does not hear of it
      if (!refusal) refusal = has_been_killed(parent_.pid);
    }
    return refusal;
  }

 private:
  std::optional<Refusal> refuse(std::string_view why) const {
    return Refusal{fmt::format("process {} waits in vfork() for process {}, which {}", parent_.pid, child_.pid, why)};
  }

  // What a thread would not inherit, or the end of the main thread would undo.
  std::optional<Refusal> find_obstacle() {
    const TaskStatus& status = status_of(child_, main_);
    if (child_.threads.size() != 1 || main_.tid != child_.pid || !main_.examined) return refuse("has several threads");
    if (child_.stopped_by != 0) return refuse("has been stopped");
    if (status.seccomp != 0) return refuse("has a seccomp filter");
    if (status.namespace_pids.size() > 1) return refuse("is in a PID namespace of its own");
    const TaskStatus& theirs = status_of(parent_, waiting_);
    constexpr std::uint64_t kStopAndContinue = std::uint64_t{1} << (SIGSTOP - 1) | std::uint64_t{1} << (SIGCONT - 1);
    if (((theirs.pending | theirs.shared_pending) & kStopAndContinue) != 0)
      return Refusal{fmt::format("process {} is about to be stopped or continued", parent_.pid)};
    if (status.uid != theirs.uid) return refuse("runs as another user");  // leave() sends a signal
    if (status.pending != 0) return refuse("has a signal pending for its main thread alone");
    uapi::SchedAttributes attributes{};
    if (::syscall(SYS_sched_getattr, child_.pid, &attributes, sizeof attributes, 0) != 0 ||
        (attributes.flags & uapi::kSchedResetOnFork) != 0)
      return refuse("hands down no priority");
    for (const pid_t pid : list_children(child_.pid)) {  // they get another parent, a thread (reparent_leader())
      FrozenProcess* const process = tree_.find(pid);
      if (process == nullptr) continue;
      InjectedArea injected(*process);
      for (std::size_t i = 0; i < process->threads.size(); ++i) {
        if (ask(injected, i).death_signal != 0)
          return refuse(fmt::format("has a child, {}, that wants a signal at its end", pid));
      }
    }
    return std::nullopt;
  }

  std::optional<Refusal> make_stand_in() {
    mask_ = Tracee(main_.tid).signal_mask();
    InjectedArea injected(child_);
    const Answers answers = ask(injected, 0);
    if (answers.tid_address != 0) return refuse("wants a word cleared at its end");
    if (answers.death_signal != 0) return refuse("wants a signal at its parent's end");
    page_ = find_unused_page();
    if (page_ == 0) page_ = map_page(injected);
    fill_page();
    Batch batch = injected.small_batch(0);
    const auto clone = batch.may(SYS_clone,
                                 CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                                     CLONE_CHILD_CLEARTID | CLONE_PTRACE | CLONE_UNTRACED,
                                 at(offsetof(WaitPage, birth_home) + kRegisters), 0, at(offsetof(WaitPage, child)), 0);
    injected.leader().run(injected.area(), batch);
    const long made = batch.result(clone);
    if (made < 0) {
      batch.clear();
      batch.may(SYS_munmap, page_, RemoteArea::kPageBytes);
      injected.leader().run(injected.area(), batch);
      return refuse(fmt::format("can't make a thread: {}", error_text(static_cast<int>(-made))));
    }
    stand_in_ = static_cast<pid_t>(made);
    const Tracee tracee(stand_in_);
    tracee.wait();
    const Registers registers = stand_in_registers(tracee.registers());
    tracee.set_registers(registers);
    const auto thread = injected.beside_leader(stand_in_, registers, kAllSignals);
    batch.clear();
    constexpr int kOnStack = 1;  // the kernel's remark, which it does not take back
    stack_t altstack = answers.altstack;
    altstack.ss_flags &= ~kOnStack;
    batch.must("sigaltstack", SYS_sigaltstack, batch.push_value(altstack), 0);
    thread->run(injected.area(), batch);
    if (has_block()) rebuild_block();
    tracee.set_registers(registers);
    return std::nullopt;
  }

  std::uint64_t at(std::size_t offset) const { return page_ + offset; }

  // One whose parent has long gone home.
  std::uint64_t find_unused_page() const {
    constexpr std::uint64_t kMost = 16 * RemoteArea::kPageBytes;  // neighbours become one area
    for (const Mapping& area : parse_maps(read_text(proc_path(child_.pid, "maps")))) {
      if (area.prot != (PROT_READ | PROT_WRITE | PROT_EXEC) || area.shared || !area.path.empty() ||
          area.bytes() > kMost)
        continue;
      for (std::uint64_t page = area.start; page < area.end; page += RemoteArea::kPageBytes) {
        if (has_runner(child_.memory, page) &&
            child_.memory.load<std::uint32_t>(page + offsetof(WaitPage, child)) == 0 && !is_anybody_in(page))
          return page;
      }
    }
    return 0;
  }
  bool is_anybody_in(std::uint64_t page) const {
    return std::any_of(tree_.processes.begin(), tree_.processes.end(), [page](const FrozenProcess& process) {
      return std::any_of(process.threads.begin(), process.threads.end(), [page](const FrozenThread& thread) {
        return thread.present.rip - page < RemoteArea::kPageBytes;
      });
    });
  }

  static std::uint64_t map_page(InjectedArea& injected) {
    Batch batch = injected.small_batch(0);
    const auto map = batch.must("mmap", SYS_mmap, 0, RemoteArea::kPageBytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    injected.leader().run(injected.area(), batch);
    return static_cast<std::uint64_t>(batch.result(map));
  }

  void fill_page() const {
    WaitPage page;
    std::ranges::copy(runner_with_stand_in(), page.code.begin());
    const Batch::Call wait{{SYS_futex, at(offsetof(WaitPage, child)), 0 /* FUTEX_WAIT */, page.child}};
    page.wait.fill(wait);
    page.wait.back() = {{SYS_futex, at(offsetof(WaitPage, child)), 1 /* FUTEX_WAKE */, 1}};  // drover_runner_stand_in
    // By itself, so that all is done or nothing if we are killed. Should that be before the parent waits, it stops
    // instead of running on.
    page.leave = {Batch::Call{{SYS_set_tid_address, at(offsetof(WaitPage, main_thread))}},
                  Batch::Call{{SYS_tgkill, word(parent_.pid), word(waiting_.tid), SIGSTOP}}, Batch::Call{{SYS_exit}}};
    page.parent = parent_.pid;
    page.child_home = {mask_, restarted(has_block() ? issued_again(main_.registers) : main_.present)};
    page.birth_home = {kAllSignals, stand_in_registers(main_.present)};
    child_.memory.store(page_, page);
  }

  Registers stand_in_registers(Registers registers) const {
    registers.rip = at(runner_stand_in_offset());
    registers.rbx = at(offsetof(WaitPage, main_thread));
    registers.rbp = at(offsetof(WaitPage, child_home));
    registers.rsp = below(main_.present);
    registers.orig_rax = ~0ULL;
    registers.eflags &= ~std::uint64_t{0x500};
    return registers;
  }
  // Where rsp must point for a way home below the stack's red zone, where nothing is the program's (System V ABI,
  // 3.2.2). When the parent goes home the child is no longer there.
  static std::uint64_t word(pid_t id) { return static_cast<std::uint64_t>(id); }
  static std::uint64_t below(const Registers& registers) {
    return ((registers.rsp - 128 - sizeof(WayHome)) & ~std::uint64_t{15}) + kRegisters;
  }
  // A batch without a signal at its end, for nobody traces who runs it.
  Registers batch_registers(Registers registers, std::size_t calls, std::size_t count, std::uint64_t rsp) const {
    registers.rip = page_;
    registers.rbx = at(calls);
    registers.r12 = count;
    registers.r13 = 0;
    registers.rsp = rsp;
    registers.orig_rax = ~0ULL;
    registers.eflags &= ~std::uint64_t{0x500};
    return registers;
  }

  // Not traced any more: else its end, or its parent's wait for it, would have to wait for us.
  void leave() const {
    const Tracee tracee(main_.tid);
    tracee.set_registers(
        batch_registers(main_.present, offsetof(WaitPage, leave), WaitPage().leave.size(), below(main_.present)));
    tracee.set_signal_mask(kAllSignals);
    tracee.detach();
  }

  // What the kernel's wait lets in, ours does: a signal that ends the process.
  std::optional<Refusal> send_parent_into_wait(bool& let_go) {
    const Tracee tracee(waiting_.tid);
    auto stop = tracee.wait_for(kDeadlineNs);
    let_go = !stop.has_value();
    if (!stop) return refuse("has made way, and yet it waits");
    if (stop->exited()) return has_been_killed(parent_.pid);
    const Registers home = tracee.registers();
    const std::uint64_t mask = tracee.signal_mask();
    const std::uint64_t no_handlers = mask | status_of(parent_, waiting_).caught;
    const bool let_out = home.rax == static_cast<std::uint64_t>(child_.pid);
    if (let_out) {
      Registers onto_stack = home;
      onto_stack.rip = at(runner_onto_stack_offset());
      onto_stack.rbp = at(offsetof(WaitPage, parent_home));
      onto_stack.rsp = below(home);
      parent_.memory.store(at(offsetof(WaitPage, parent_home)), WayHome{mask, home});
      parent_.memory.store(at(offsetof(WaitPage, parent_onto_stack)), WayHome{no_handlers, onto_stack});
      tracee.set_registers(batch_registers(home, offsetof(WaitPage, wait), WaitPage().wait.size(),
                                           at(offsetof(WaitPage, parent_onto_stack) + kRegisters)));
      tracee.set_signal_mask(no_handlers);
    }
    // Until the SIGSTOP is out of the queue, and it stands as after PTRACE_INTERRUPT. A signal with a handler is put
    // back, being blocked now (ptrace_signal()).
    for (bool taken_back = false; !taken_back || !(stop->interrupted() || stop->group_stop());) {
      int signal = stop->event() == 0 ? stop->signal() : 0;
      if (signal == SIGSTOP && !std::exchange(taken_back, true)) signal = 0;
      if (taken_back) tracee.interrupt();
      tracee.resume(PTRACE_CONT, signal);
      stop = tracee.wait_for(kDeadlineNs);
      if (!stop || stop->exited()) return has_been_killed(parent_.pid);
    }
    if (stop->group_stop()) parent_.stopped_by = stop->signal();
    waiting_.stopped = true;
    waiting_.stopped_at_ns = clock_ns(CLOCK_MONOTONIC);
    waiting_.registers = waiting_.present = tracee.registers();
    waiting_.status.reset();
    if (!let_out) return refuse("is not the one");
    parent_.memory.store(at(offsetof(WaitPage, parent_waits)), std::uint32_t{1});
    waiting_.examined = true;
    leave_restartable_sequences(parent_);
    return std::nullopt;
  }

  // The stand-in is the child from here on.
  void go_on() {
    FrozenThread thread;
    thread.tid = stand_in_;
    thread.examined = thread.stopped = true;
    thread.stopped_at_ns = main_.stopped_at_ns;
    thread.examined_at_ns = main_.examined_at_ns;
    thread.deadline_ns = main_.deadline_ns;
    thread.registers = registers_;
    // A timed call of the EINTR kind is issued again until we are asked for its rest (examine_threads()).
    thread.present = has_block() ? registers_ : main_.present;
    thread.wait = wait_;
    tree_.seen_through.emplace_back(child_.pid, stand_in_);
    child_.memory = RemoteMemory(stand_in_);
    const Tracee tracee(stand_in_);
    tracee.set_signal_mask(mask_);  // before the registers: on the child's stack a signal finds room
    tracee.set_registers(thread.present);
    child_.threads.clear();
    child_.threads.push_back(std::move(thread));
  }

  bool has_block() const {
    return static_cast<std::int64_t>(main_.registers.orig_rax) >= 0 &&
           static_cast<std::int64_t>(main_.registers.rax) == kRestartBlock;
  }

  // The main thread's block goes with it. Should we be killed, the stand-in finds from this call to where it waits.
  void rebuild_block() {
    const auto timeout = restart_block_call(static_cast<long>(main_.registers.orig_rax), main_.registers);
    if (!wait_ || !timeout || timeout->form == TimeoutForm::None) {
      registers_ = issued_again(main_.registers);
      wait_.reset();
      return;
    }
    Registers carrier = batch_registers(main_.registers, offsetof(WaitPage, rebuilt), 1,
                                        at(offsetof(WaitPage, birth_home) + kRegisters));
    carrier.orig_rax = main_.registers.orig_rax;
    const std::int64_t passed_ns = clock_ns(CLOCK_MONOTONIC) - main_.examined_at_ns;
    const Registers result = rebuild_wait(Tracee(stand_in_), child_.memory, carrier, *timeout,
                                          std::max<std::int64_t>(0, wait_->remaining_ns - passed_ns),
                                          at(offsetof(WaitPage, scratch)), page_ + runner_syscall_offset());
    registers_.rax = result.rax;
    registers_.orig_rax = result.orig_rax;
    if (static_cast<std::int64_t>(result.rax) != kRestartBlock) wait_.reset();
  }

  FrozenTree::Impl& tree_;
  FrozenProcess& parent_;
  FrozenThread& waiting_;
  FrozenProcess& child_;
  const FrozenThread& main_;
  Registers registers_ = main_.registers;  // what the stand-in shall have
  std::optional<WaitState> wait_ = main_.wait;
  std::uint64_t mask_ = 0;
  std::uint64_t page_ = 0;
  pid_t stand_in_ = 0;
};

}  // namespace

std::optional<Refusal> end_vfork(FrozenTree::Impl& tree, FrozenProcess& parent, FrozenThread& waiting,
                                 FrozenProcess& child) {
  if (status_of(parent, waiting).seccomp != 0)
    return Refusal{
        fmt::format("process {} has a seccomp filter, and waits in vfork() for process {}", parent.pid, child.pid)};
  return VforkEnder(tree, parent, waiting, child).end();
}

}  // namespace drover
