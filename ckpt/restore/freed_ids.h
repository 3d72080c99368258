// Making tasks with ids that have just become free.
#pragma once

#include <cerrno>
#include <ctime>

#include "ckpt/sys/error.h"

namespace drover {

// Runs `clone` until it throws no SystemError of EEXIST, for two seconds at most. Since Linux 6.15 an id stays taken
// for a moment after the last task, group or session of it can be seen (release_task(), which calls free_pids() last):
// on a busy machine for as long as whoever reaps that task has to wait for a CPU.
template <class Clone>
auto with_freed_id(const Clone& clone) {
  for (int attempt = 0;; ++attempt) {
    try {
      return clone();
    } catch (const SystemError& error) {
      if (error.error() != EEXIST || attempt == 1000) throw;
    }
    const timespec pause{0, 2'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace drover
