// System calls run by a stopped thread of another process. While it runs them every signal but the runner's own is
// blocked there; afterwards, at the latest in the destructor, registers and mask are as they were when it stopped.
//
// If this program is killed while a thread of the target runs a batch, the thread finishes it and puts its registers
// and mask back by itself (runner.S).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <span>

#include "ckpt/freeze/batch.h"
#include "ckpt/freeze/remote_memory.h"
#include "ckpt/freeze/tracee.h"

namespace drover {

// Memory of the target that holds the runner and one slot per thread. The main slot is large, for the work that one
// thread does for the whole process.
struct RemoteArea {
  static constexpr std::size_t kRunnerBytes = 4096, kMainSlotBytes = 256 * 1024, kPageBytes = 4096;
  // A thread that goes home by itself can be interrupted by a signal on the way: this much for the signal's frame,
  // whose largest part is AMX's 8 KiB. The registers themselves lie in one page with the slot's calls: a fresh page
  // costs more than most calls.
  static constexpr std::size_t kFrameBytes = 24 * 1024, kWayHomeBytes = 256;
  static constexpr std::size_t kHomeBytes = kFrameBytes + kWayHomeBytes, kSlotBytes = 2 * kPageBytes - kWayHomeBytes;

  std::uint64_t address = 0;
  std::size_t slots = 0;

  static std::size_t bytes(std::size_t slots) {
    return kRunnerBytes + kMainSlotBytes + slots * (kSlotBytes + kHomeBytes);
  }
  std::uint64_t runner() const { return address; }
  // The end of a thread's room for its way home.
  std::uint64_t home_end(std::size_t slot) const { return address + bytes(slot) + kHomeBytes; }
  Batch main_batch() const { return Batch(address + kRunnerBytes, kMainSlotBytes); }
  Batch batch(std::size_t slot) const { return Batch(home_end(slot), kSlotBytes); }
  // For what is known to be little: in one page with the way home.
  Batch small_batch(std::size_t slot) const { return Batch(home_end(slot), kSlotBytes - kPageBytes); }
  // Without a way home, right before another that is complete, or null, so that those of many threads share pages.
  Batch batch_before(const Batch* next) const {
    return Batch((next != nullptr ? next->calls_address() : address + bytes(slots)) - kSlotBytes, kSlotBytes);
  }
  // Copies the runner into its page.
  void install(const RemoteMemory&) const;
};

std::span<const std::byte> runner_code();
std::span<const std::byte> runner_with_stand_in();
// From the runner's beginning: its first `syscall` instruction, and what others need.
std::size_t runner_syscall_offset();
std::size_t runner_home_offset();       // its batch is done
std::size_t runner_first_pop_offset();  // the mask is there, registers follow
std::size_t runner_onto_stack_offset();
std::size_t runner_stand_in_offset();

// What the runner ends with: the mask lies right below where rsp points, and the registers are popped in this order.
struct WayHome {
  std::uint64_t mask;
  Registers registers;
};

// What the kernel does when it lets a thread with a restartable result go on (arch_do_signal_or_restart()).
Registers restarted(Registers);

class RemoteSyscalls {
 public:
  // The thread of a program: nothing of ours is in it but while it runs a batch. `stop_signal` ends a batch; one that
  // the thread would ignore. `slot`: whose room in the area it has. `present`: what it has now.
  RemoteSyscalls(const RemoteMemory& memory, pid_t tid, std::size_t slot, int stop_signal, const Registers& present,
                 std::uint64_t mask);
  // A thread that dies with us: signals stay blocked until it is given its own mask at the end.
  RemoteSyscalls(const RemoteMemory& memory, pid_t tid, std::size_t slot);
  // Another such, made by a batch of `maker`, with registers and mask like those.
  RemoteSyscalls(const RemoteMemory& memory, pid_t tid, std::size_t slot, const RemoteSyscalls& maker);
  RemoteSyscalls(const RemoteSyscalls&) = delete;
  ~RemoteSyscalls();

  // One call through a `syscall` instruction that the target already has at `instruction`.
  // For the time before there is a RemoteArea, and after.
  long call_at(std::uint64_t instruction, long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
               std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0);

  // The same for the thread of a program, safe if we are killed: `runner` is a copy of the runner, and arguments and
  // way home lie on the thread's stack.
  long call_on_stack(std::uint64_t runner, long number, const std::array<std::uint64_t, 6>& args);

  // Runs a batch. Throws SystemError for the first call that must succeed and did not.
  void run(const RemoteArea& area, Batch& batch);
  // The same in two steps, so that several threads of a process work at once.
  struct Task {
    RemoteSyscalls* thread;
    Batch* batch;
  };
  static void start(const RemoteArea& area, std::span<const Task> tasks);
  static void finish(std::span<const Task> tasks);

  // Of a thread that dies with us: what it shall have in the end. It gets the mask when this object goes, and the
  // registers from release_threads().
  void set_final(const Registers& registers, std::uint64_t mask);
  const Registers& saved_registers() const { return saved_; }
  std::uint64_t saved_mask() const { return saved_mask_; }
  const Tracee& tracee() const { return tracee_; }
  const RemoteMemory& memory() const { return memory_; }

 private:
  TraceStop wait_ours(bool at_syscall);
  void set_off(std::uint64_t runner, std::uint64_t first_call, std::size_t calls, std::uint64_t home_end);
  void come_back();
  void go_on_until_finished(Batch& batch);
  const RemoteMemory& memory_;
  Tracee tracee_;
  Registers saved_;
  std::uint64_t saved_mask_;
  std::size_t slot_;
  int stop_signal_;
  bool keeps_blocked_;
  bool home_ = true;               // the thread has the registers and the mask that it shall have
  bool other_came_ = false;        // a signal of somebody else with the number of ours
  bool stop_signal_kept_ = false;  // a SIGSTOP, which can't be blocked, came while the thread worked for us
};

}  // namespace drover
