// System calls run by a stopped thread of another process. While the object lives every signal but the runner's own is
// blocked there; the destructor puts registers and mask back, so that the thread is as it was when it stopped.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "ckpt/freeze/batch.h"
#include "ckpt/freeze/remote_memory.h"
#include "ckpt/freeze/tracee.h"

namespace drover {

// Memory of the target that holds the runner and one slot per thread. The first slot is large, for the work that one
// thread does for the whole process.
struct RemoteArea {
  static constexpr std::size_t kRunnerBytes = 4096, kMainSlotBytes = 256 * 1024, kSlotBytes = 8192;

  std::uint64_t address = 0;
  std::size_t slots = 0;

  static std::size_t bytes(std::size_t slots) { return kRunnerBytes + kMainSlotBytes + slots * kSlotBytes; }
  std::uint64_t runner() const { return address; }
  Batch main_batch() const { return Batch(address + kRunnerBytes, kMainSlotBytes); }
  Batch batch(std::size_t slot) const {
    return Batch(address + kRunnerBytes + kMainSlotBytes + slot * kSlotBytes, kSlotBytes);
  }
  // Copies the runner into its page.
  void install(const RemoteMemory&) const;
};

class RemoteSyscalls {
 public:
  RemoteSyscalls(const RemoteMemory& memory, pid_t tid);
  RemoteSyscalls(const RemoteSyscalls&) = delete;
  ~RemoteSyscalls();

  // One call through a `syscall` instruction that the target already has at `instruction`.
  // For the time before there is a RemoteArea, and after.
  long call_at(std::uint64_t instruction, long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
               std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0);

  // Runs a batch. Throws SystemError for the first call that must succeed and did not.
  void run(const RemoteArea& area, Batch& batch);
  // The same in two steps, so that several threads work at once.
  void start(const RemoteArea& area, const Batch& batch);
  void finish(Batch& batch);

  // What the thread shall have when this object goes, instead of what it had.
  void set_final(const Registers& registers, std::uint64_t mask);
  const Registers& saved_registers() const { return saved_; }
  std::uint64_t saved_mask() const { return saved_mask_; }
  const Tracee& tracee() const { return tracee_; }
  const RemoteMemory& memory() const { return memory_; }

 private:
  TraceStop wait_ours(bool at_syscall);
  const RemoteMemory& memory_;
  Tracee tracee_;
  Registers saved_;
  std::uint64_t saved_mask_;
  bool stop_signal_kept_ = false;  // a SIGSTOP, which can't be blocked, came while the thread worked for us
};

}  // namespace drover
