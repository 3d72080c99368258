// Lets stopped threads go on, each in the system call that it was stopped in.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ckpt/freeze/tracee.h"

namespace drover {

struct ThreadRelease {
  pid_t process = 0, tid = 0;
  Registers registers{};  // as examine_call() gave them
  // When a timed call shall end that is issued again with the rest of its time, on the caller's CLOCK_MONOTONIC.
  std::optional<std::int64_t> deadline_ns;
};

class LingeringCall;

// Threads that stay traced until their timed call returns, when its argument is put back.
class LingeringThreads {
 public:
  LingeringThreads();
  LingeringThreads(LingeringThreads&&) noexcept;
  LingeringThreads& operator=(LingeringThreads&&) noexcept;
  ~LingeringThreads();  // waits: a thread that was left would find the wrong argument in its register
  void add(const ThreadRelease&);
  void append(LingeringThreads&&);
  // One that has been asked to stop and does not, in vfork(2): when it does it goes on at once. Not waited for.
  void add_unstopped(pid_t tid) { unstopped_.push_back(tid); }
  // True if it was among those, and has not stopped yet: it is the caller's again.
  bool take_unstopped(pid_t tid);
  // True when the last one has been let go; false when `or_readable` (a descriptor, -1: none) became readable before.
  bool wait(int or_readable = -1);

  // A thread stopped again as by PTRACE_INTERRUPT, with the call's own arguments in its registers.
  struct Stopped {
    int group_stopped_by = 0;  // the signal that has stopped the whole process
    std::int64_t deadline_ns;  // when the call shall end, if it was still in it; on the caller's CLOCK_MONOTONIC
  };
  // Empty if the thread is not (or no longer) among these. Throws SystemError if it can't be stopped.
  std::optional<Stopped> stop(pid_t tid);

 private:
  void let_stopped_go();
  std::vector<LingeringCall> calls_;
  std::vector<pid_t> unstopped_;
};

// Sets the registers and detaches. Where the kernel turned a call with a deadline into EINTR, it is issued again with
// the rest of its time in the place of its timeout: such threads run too, but stay traced and are given back. Threads
// that are gone are passed over.
LingeringThreads release_threads(std::span<const ThreadRelease>);

}  // namespace drover
