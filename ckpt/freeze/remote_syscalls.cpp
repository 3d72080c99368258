#include "ckpt/freeze/remote_syscalls.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "ckpt/freeze/interrupted_call.h"
#include "ckpt/sys/error.h"

extern "C" const std::byte drover_runner_begin[], drover_runner_home[], drover_runner_first_pop[],
    drover_runner_onto_stack[], drover_runner_stand_in[], drover_runner_end[];

namespace drover {

static std::uint64_t working_mask(int stop_signal) { return ~(std::uint64_t{1} << (stop_signal - 1)); }

std::span<const std::byte> runner_code() { return {drover_runner_begin, runner_onto_stack_offset()}; }

std::span<const std::byte> runner_with_stand_in() {
  return {drover_runner_begin, static_cast<std::size_t>(drover_runner_end - drover_runner_begin)};
}

std::size_t runner_syscall_offset() {
  constexpr std::array kSyscall{std::byte{0x0f}, std::byte{0x05}};
  const auto code = runner_code();
  return static_cast<std::size_t>(std::search(code.begin(), code.end(), kSyscall.begin(), kSyscall.end()) -
                                  code.begin());
}

static std::size_t offset_of(const std::byte* label) { return static_cast<std::size_t>(label - drover_runner_begin); }
std::size_t runner_home_offset() { return offset_of(drover_runner_home); }
std::size_t runner_first_pop_offset() { return offset_of(drover_runner_first_pop); }
std::size_t runner_onto_stack_offset() { return offset_of(drover_runner_onto_stack); }
std::size_t runner_stand_in_offset() { return offset_of(drover_runner_stand_in); }

void RemoteArea::install(const RemoteMemory& memory) const { memory.write(address, runner_code()); }

static_assert(sizeof(WayHome) <= RemoteArea::kWayHomeBytes);

RemoteSyscalls::RemoteSyscalls(const RemoteMemory& memory, pid_t tid, std::size_t slot, int stop_signal,
                               const Registers& present, std::uint64_t mask)
    : memory_(memory),
      tracee_(tid),
      saved_(present),
      saved_mask_(mask),
      slot_(slot),
      stop_signal_(stop_signal),
      keeps_blocked_(false) {}

RemoteSyscalls::RemoteSyscalls(const RemoteMemory& memory, pid_t tid, std::size_t slot)
    : RemoteSyscalls(memory, tid, slot, SIGTRAP, Tracee(tid).registers(), 0) {
  keeps_blocked_ = true;
  tracee_.set_signal_mask(working_mask(stop_signal_));
}

RemoteSyscalls::RemoteSyscalls(const RemoteMemory& memory, pid_t tid, std::size_t slot, const RemoteSyscalls& maker)
    : RemoteSyscalls(memory, tid, slot, SIGTRAP, maker.saved_, 0) {
  keeps_blocked_ = true;
}

RemoteSyscalls::~RemoteSyscalls() {
  try {
    if (!home_) {
      tracee_.set_signal_mask(saved_mask_);  // before the registers: see set_off()
      if (!keeps_blocked_) tracee_.set_registers(saved_);
    }
    if (stop_signal_kept_) ::syscall(SYS_tkill, tracee_.tid(), SIGSTOP);
    const bool blocked = (saved_mask_ >> (stop_signal_ - 1) & 1) != 0;
    if (other_came_ && blocked) ::syscall(SYS_tkill, tracee_.tid(), stop_signal_);
  } catch (const std::exception&) {  // the thread is gone: nothing to put back
  }
}

void RemoteSyscalls::set_final(const Registers& registers, std::uint64_t mask) {
  saved_ = registers;
  saved_mask_ = mask;
  home_ = false;
}

// Passes over the stops that are not what we wait for: other threads being born, and stop signals.
TraceStop RemoteSyscalls::wait_ours(bool at_syscall) {
  for (;;) {
    const TraceStop stop = tracee_.wait();
    if (at_syscall && stop.at_syscall()) return stop;
    if (!at_syscall && stop.event() == 0 && stop.signal() == stop_signal_) return stop;
    if (stop.event() == 0 && stop.signal() == SIGSTOP)
      stop_signal_kept_ = true;
    else if (stop.event() == 0 && !stop.at_syscall())
      throw SystemError("system call in another process stopped by signal " + std::to_string(stop.signal()), {},
                        EFAULT);
    tracee_.resume(at_syscall ? PTRACE_SYSCALL : PTRACE_CONT);
  }
}

long RemoteSyscalls::call_at(std::uint64_t instruction, long number, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                             std::uint64_t d, std::uint64_t e, std::uint64_t f) {
  Registers registers = saved_;
  registers.rip = instruction;
  registers.rax = static_cast<std::uint64_t>(number);
  registers.orig_rax = ~0ULL;  // not in a system call: the kernel must not restart one
  registers.rdi = a, registers.rsi = b, registers.rdx = c, registers.r10 = d, registers.r8 = e, registers.r9 = f;
  if (!keeps_blocked_) {
    home_ = false;
    tracee_.set_signal_mask(working_mask(stop_signal_));
  }
  tracee_.set_registers(registers);
  tracee_.resume(PTRACE_SYSCALL);
  wait_ours(true);
  tracee_.resume(PTRACE_SYSCALL);
  wait_ours(true);
  const auto result = static_cast<long>(tracee_.registers().rax);
  // From a syscall-exit stop the kernel would not look at a restartable result again (it does so in get_signal() only):
  // bring the thread from here into the kind of stop that it came from, with its own registers in place.
  tracee_.set_registers(saved_);
  tracee_.interrupt();
  tracee_.resume(PTRACE_CONT);
  while (tracee_.wait().event() != PTRACE_EVENT_STOP) tracee_.resume(PTRACE_CONT);
  if (!keeps_blocked_) {
    tracee_.set_signal_mask(saved_mask_);
    home_ = true;
  }
  return result;
}

Registers restarted(Registers registers) {
  if (static_cast<std::int64_t>(registers.orig_rax) < 0) return registers;
  switch (static_cast<std::int64_t>(registers.rax)) {
    case kRestartSys:
    case kRestartNoIntr:
    case kRestartNoHand:
      registers.rax = registers.orig_rax;
      registers.rip -= 2;
      break;
    case kRestartBlock:
      registers.rax = SYS_restart_syscall;
      registers.rip -= 2;
      break;
    default:
      break;
  }
  return registers;
}

// Registers before the mask, and the mask before the registers in come_back(): if we die in between, the thread is in
// the runner, which finds the way home with any mask.
void RemoteSyscalls::set_off(std::uint64_t runner, std::uint64_t first_call, std::size_t calls,
                             std::uint64_t home_end) {
  Registers registers = saved_;
  registers.rip = runner;
  registers.orig_rax = ~0ULL;
  registers.eflags &= ~std::uint64_t{0x500};  // direction, single step
  registers.rsp = home_end - sizeof(Registers);
  registers.rbx = first_call;
  registers.r12 = calls;
  registers.r13 = static_cast<std::uint64_t>(stop_signal_);
  if (!keeps_blocked_) home_ = false;
  tracee_.set_registers(registers);
  if (!keeps_blocked_) tracee_.set_signal_mask(working_mask(stop_signal_));
  tracee_.resume(PTRACE_CONT);
}

void RemoteSyscalls::come_back() {
  if (keeps_blocked_) return;
  tracee_.set_signal_mask(saved_mask_);
  tracee_.set_registers(saved_);
  home_ = true;
}

// A signal of somebody else that has the number of ours comes before the end.
void RemoteSyscalls::go_on_until_finished(Batch& batch) {
  while (!batch.finished()) {
    other_came_ = true;
    tracee_.resume(PTRACE_CONT);
    wait_ours(false);
    std::vector<std::byte> calls(batch.size() * sizeof(Batch::Call));
    memory_.read(batch.calls_address(), calls);
    batch.set_results(calls);
    if (batch.wants_data() && !batch.writable_data().empty()) memory_.read(batch.data_address(), batch.writable_data());
  }
}

long RemoteSyscalls::call_on_stack(std::uint64_t runner, long number, const std::array<std::uint64_t, 6>& args) {
  constexpr std::size_t kBytes = sizeof(Batch::Call);
  // Below the red zone nothing is the program's (System V ABI, 3.2.2).
  const std::uint64_t at = (saved_.rsp - 128 - kBytes) & ~std::uint64_t{63};
  Batch batch(at, kBytes);
  batch.may(number, args[0], args[1], args[2], args[3], args[4], args[5]);
  batch.begin();
  memory_.write(at, std::as_bytes(batch.calls()));
  memory_.store(at - sizeof(WayHome), WayHome{saved_mask_, restarted(saved_)});
  set_off(runner, at, 1, at);
  wait_ours(false);
  std::array<std::byte, kBytes> result{};
  memory_.read(at, result);
  batch.set_results(result);
  go_on_until_finished(batch);
  come_back();
  return batch.result(0);
}

namespace {

// Pieces of the target's memory that travel in as few calls as possible.
class Pieces {
 public:
  explicit Pieces(const RemoteMemory& memory) : memory_(memory) {}
  void add(std::uint64_t address, std::size_t bytes) {
    if (bytes == 0) return;
    ranges_.push_back({reinterpret_cast<void*>(address), bytes});
    bytes_ += bytes;
  }
  void add(std::uint64_t address, std::span<const std::byte> content) {
    add(address, content.size());
    content_.insert(content_.end(), content.begin(), content.end());
  }
  void write() const { memory_.write_ranges(ranges_, content_); }
  std::span<const std::byte> read() {
    content_.resize(bytes_);
    memory_.read_ranges(ranges_, content_);
    return content_;
  }

 private:
  const RemoteMemory& memory_;
  std::vector<iovec> ranges_;
  std::vector<std::byte> content_;
  std::size_t bytes_ = 0;
};

}  // namespace

void RemoteSyscalls::start(const RemoteArea& area, std::span<const Task> tasks) {
  if (tasks.empty()) return;
  Pieces pieces(tasks.front().thread->memory_);
  for (const auto& [thread, batch] : tasks) {
    batch->begin();
    pieces.add(batch->calls_address(), std::as_bytes(batch->calls()));
    pieces.add(batch->data_address(), batch->data());
    if (thread->keeps_blocked_) continue;  // who dies with us needs no way home
    const WayHome home{thread->saved_mask_, restarted(thread->saved_)};
    pieces.add(area.home_end(thread->slot_) - sizeof home, std::as_bytes(std::span(&home, 1)));
  }
  pieces.write();
  for (const auto& [thread, batch] : tasks)
    thread->set_off(area.runner(), batch->calls_address(), batch->size(), area.home_end(thread->slot_));
}

void RemoteSyscalls::finish(std::span<const Task> tasks) {
  if (tasks.empty()) return;
  Pieces pieces(tasks.front().thread->memory_);
  for (const auto& [thread, batch] : tasks) {
    thread->wait_ours(false);
    pieces.add(batch->calls_address(), batch->size() * sizeof(Batch::Call));
    if (batch->wants_data()) pieces.add(batch->data_address(), batch->data().size());
  }
  std::span<const std::byte> read = pieces.read();
  for (const auto& [thread, batch] : tasks) {
    const std::size_t calls = batch->size() * sizeof(Batch::Call);
    batch->set_results(read.first(calls));
    read = read.subspan(calls);
    if (batch->wants_data()) {
      const auto data = batch->writable_data();
      std::copy_n(read.begin(), data.size(), data.begin());
      read = read.subspan(data.size());
    }
    thread->go_on_until_finished(*batch);
    thread->come_back();
  }
  for (const Task& task : tasks) task.batch->check_results();
}

void RemoteSyscalls::run(const RemoteArea& area, Batch& batch) {
  if (batch.empty()) return;
  const Task tasks[] = {{this, &batch}};
  start(area, tasks);
  finish(tasks);
}

}  // namespace drover
