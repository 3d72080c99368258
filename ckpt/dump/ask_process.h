// What only a process itself can tell of itself, and one of its threads for all of them. It is asked by one batch: each
// costs two switches between the process and us.
#pragma once

#include <sys/resource.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ckpt/dump/obstacles.h"
#include "ckpt/freeze/injected_area.h"
#include "ckpt/freeze/tree_impl.h"
#include "ckpt/image/state/signals.h"
#include "ckpt/image/state/timers.h"
#include "ckpt/sys/posix_timers.h"

namespace drover {

// When its timers expire next, which may be asked again.
class TimerQuestions {
 public:
  // Adds the questions to `batch`, which wants its data back. `timers` outlives this object.
  TimerQuestions(Batch& batch, const std::vector<PosixTimerEntry>& timers);
  TimersState read(const Batch& batch, pid_t process) const;

 private:
  const std::vector<PosixTimerEntry>& timers_;
  std::uint64_t intervals_at_ = 0, times_at_ = 0;
  std::vector<std::size_t> overruns_;
};

struct OwnAnswers {
  std::uint64_t personality = 0;
  std::int32_t dumpable = 0;
  bool child_subreaper = false, thp_disabled = false;
  std::array<rlimit, RLIM_NLIMITS> limits{};
  std::uint64_t brk = 0;
  std::vector<SignalAction> actions;  // that are not the default
  std::vector<PosixTimerEntry> posix_timers;
  TimersState timers;
};

// Refuses a process with too many timers, or one that can't be made anew.
Or<OwnAnswers> ask_process(const FrozenProcess&, InjectedArea&);

}  // namespace drover
