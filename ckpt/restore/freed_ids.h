// Making tasks and terminals with ids that have just become free.
#pragma once

#include <cerrno>
#include <ctime>

#include "ckpt/sys/error.h"

namespace drover {

// Somebody has it who had not been there when that was looked for.
class IdTaken : public SystemError {
 public:
  explicit IdTaken(const SystemError& error) : SystemError(error) {}
};

// Runs `make` until it throws no SystemError of EEXIST, for two seconds at most, then throws IdTaken. Since Linux 6.15
// a process id stays taken for a moment after the last task, group or session of it can be seen (release_task(), which
// calls free_pids() last): on a busy machine for as long as whoever reaps that task has to wait for a CPU. A terminal's
// number may be somebody's for a moment.
template <class Make>
auto with_freed_id(const Make& make) {
  for (int attempt = 0;; ++attempt) {
    try {
      return make();
    } catch (const SystemError& error) {
      if (error.error() != EEXIST) throw;
      if (attempt == 1000) throw IdTaken(error);
    }
    const timespec pause{0, 2'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace drover
