// Lets stopped threads go on, each in the system call that it was stopped in.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>

#include "ckpt/freeze/tracee.h"

namespace drover {

struct ThreadRelease {
  pid_t process = 0, tid = 0;
  Registers registers{};  // as examine_call() gave them
  // When a timed call that the kernel turned into EINTR shall end, on the caller's CLOCK_MONOTONIC.
  std::optional<std::int64_t> eintr_deadline_ns;
};

// Sets the registers and detaches. Threads with a deadline are issued their call again with the rest of its time in the
// place of its timeout, and stay traced until it returns, when the argument is put back: the function returns after the
// last of them. Threads that are gone are passed over.
void release_threads(std::span<const ThreadRelease>);

}  // namespace drover
