// One thread under ptrace: the few requests that we make, with errors that say which thread. It does not own the
// attachment, FrozenTree and HeldTree do: what must happen at the end differs.
//
// Always PTRACE_SEIZE with PTRACE_INTERRUPT, never PTRACE_ATTACH: its SIGSTOP can be seen by the program and is mixed
// up with real ones.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ckpt/image/state/signals.h"

namespace drover {

using Registers = user_regs_struct;

// The thread ended while we worked on it, by SIGKILL as a rule.
class TraceeGone : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What waitpid(2) told about a traced thread.
struct TraceStop {
  int status = 0;
  bool exited() const;
  int signal() const;        // of a stop
  int event() const;         // PTRACE_EVENT_*, 0 for a signal
  bool at_syscall() const;   // entry or exit, with PTRACE_O_TRACESYSGOOD
  bool interrupted() const;  // the answer to PTRACE_INTERRUPT
  bool group_stop() const;   // SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU has stopped the process
};

class Tracee {
 public:
  explicit Tracee(pid_t tid) : tid_(tid) {}
  pid_t tid() const { return tid_; }

  // Returns the errno value, 0 when seized.
  int seize(unsigned options) const;
  void set_options(unsigned options) const;
  void interrupt() const;
  void resume(int request, int signal = 0) const;  // PTRACE_CONT, PTRACE_SYSCALL, PTRACE_LISTEN
  // False if it has been killed: then its tracer must wait for its end, or its parent never hears of that.
  bool detach() const noexcept;

  TraceStop wait() const;                                            // blocks; throws TraceeGone when it has exited
  std::optional<TraceStop> wait_for(std::int64_t timeout_ns) const;  // empty on timeout; may tell an exit

  Registers registers() const;
  void set_registers(const Registers&) const;
  // NT_X86_XSTATE, standard format, without the zeros at its end: components in their initial state, most as a rule.
  std::vector<std::byte> xstate() const;
  std::size_t xstate_bytes() const;  // with them
  void set_xstate(std::span<const std::byte>) const;
  std::uint64_t signal_mask() const;
  void set_signal_mask(std::uint64_t) const;
  std::vector<QueuedSignal> pending_signals(bool shared) const;

 private:
  long request(int request, void* address, void* data, const char* what) const;
  pid_t tid_;
};

}  // namespace drover
