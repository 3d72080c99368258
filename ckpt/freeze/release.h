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
  // When a timed call that the kernel turned into EINTR shall end, on the caller's CLOCK_MONOTONIC.
  std::optional<std::int64_t> eintr_deadline_ns;
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
  void wait();

 private:
  std::vector<LingeringCall> calls_;
};

// Sets the registers and detaches. Threads with a deadline are issued their call again with the rest of its time in the
// place of its timeout; they run too, but stay traced and are given back. Threads that are gone are passed over.
LingeringThreads release_threads(std::span<const ThreadRelease>);

}  // namespace drover
