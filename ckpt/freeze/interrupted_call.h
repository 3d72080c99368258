// What becomes of a system call in which a thread was stopped.
//
// Stopping a thread with PTRACE_INTERRUPT makes a sleeping call return into the kernel's signal code with one of:
//   -512, -513, -514  the kernel re-issues the call when the thread goes on, with what it has already written to user
//                     memory (the rest of select's or ppoll's time, see write_rest()): exact, here and
//                     after a move, since a moved thread is given the same registers and the kernel looks at them in
//                     the same place
//   -516              the kernel goes on through a restart block that holds the deadline: exact on a thaw; after a move
//                     the block is rebuilt (rebuild_wait.h), for which the rest of the time must be known
//   -4 (EINTR)        epoll_wait, rt_sigtimedwait, semop and their kind: the program would see an error that it would
//                     not have seen (man 7 signal, "Interruption of system calls and library functions by stop
//                     signals"). Untimed ones get -514 instead: the kernel issues the call again or, where a handler
//                     runs first, ends it with EINTR, whenever that signal comes. EINTR stays if the program has been
//                     stopped, or is about to be, or to run a handler
#pragma once

#include <cstdint>
#include <optional>

#include "ckpt/freeze/last_run.h"
#include "ckpt/freeze/remote_memory.h"
#include "ckpt/freeze/still_waiting.h"
#include "ckpt/freeze/tracee.h"
#include "ckpt/image/state/thread.h"

namespace drover {

inline constexpr std::int64_t kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHand = -514, kRestartBlock = -516;

// Where a call keeps its relative timeout.
enum class TimeoutForm { None, Milliseconds, Timespec };
struct TimeoutArgument {
  TimeoutForm form = TimeoutForm::None;
  int argument = 0;    // 0 rdi, 1 rsi, 2 rdx, 3 r10, 4 r8, 5 r9
  int remainder = -1;  // argument that points to where the kernel writes the rest of the time; -1: none
};

// The calls that are interrupted with EINTR and can be undone. Empty for all others.
std::optional<TimeoutArgument> eintr_call(long number);
// The calls with a restart block that needs the rest of its time. Empty for all others.
std::optional<TimeoutArgument> restart_block_call(long number, const Registers&);

// For a thread stopped in ppoll, select or pselect6 (nothing for others): what is left of its time, to be written where
// the call is issued again from.
void write_rest(const RemoteMemory&, const Registers&, std::int64_t rest_ns);

std::uint64_t& argument_register(Registers&, int argument);

// Registers with which the kernel issues the call in them again when the thread goes on from its ptrace-stop, with its
// whole timeout, if it has a relative one. Where a signal's handler runs first the call ends with EINTR instead.
Registers issued_again(Registers);

struct InterruptedCall {
  // The thread's registers, put right: after a restart_syscall, orig_rax names the call that is really restarted.
  Registers registers;
  std::optional<WaitState> wait;  // the call is timed, and must be told how much is left, as of `frozen_at_ns`
};

// What is known of a thread from when it was stopped, and before; times are on the caller's CLOCK_MONOTONIC.
struct BeforeStop {
  std::int64_t stopped_at_ns = 0;           // when the thread was seen to have stopped
  std::optional<LastRun> last_run;          // just before
  std::optional<std::int64_t> deadline_ns;  // of the EINTR call that it has lingered in (release.h)
  std::optional<KnownWait> known;           // of a restarted call that it may still be in
};

// Looks at a stopped thread. `signal_about_to_be_delivered`: a pending, unblocked signal that the program handles or
// that stops it.
// Throws SystemError when the call that a restart block belongs to can't be found out.
InterruptedCall examine_call(const RemoteMemory&, const Registers&, bool signal_about_to_be_delivered,
                             const BeforeStop&, std::int64_t frozen_at_ns);

}  // namespace drover
