// How much of a cgroup is used by processes that are not Drover's: a node's foreign load where /proc/stat counts more
// than what the node owns.
//
// The hard part is that processes end between two samples. The group's own counter of CPU time (cpuacct.usage of v1,
// cpu.stat of v2) loses nothing, but what is left of it without the jobs is not the others': what a job used between
// the last sample and its end stands in no file any more, so every job that ends, and all short ones, would look like
// the owner's return. So the others' processes are measured themselves. What their children used is in the time of who
// waited for them; only a process that ends unwaited for, or whose parent is outside the group, takes with it what it
// used since the last sample.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/load/cgroup.h"
#include "runtime/load/pid_stat.h"
#include "runtime/load/proc_dir.h"
#include "runtime/load/walk_budget.h"

namespace drover {

struct ForeignLoad {
  double running = 0;  // CPUs' worth of time used, mean since the last measurement
  double waiting = 0;  // threads waiting for a CPU, or for a throttled group's next period; mean likewise
};

class ForeignMeter {
 public:
  // Measures `group` with the groups below it. Of its processes `droverd`, whatever is below it, and those that have
  // one of Drover's names are Drover's own; what is below the inits of jobs is the jobs'.
  ForeignMeter(ProcDir proc, Cgroup group, unsigned host_pus, pid_t droverd, WalkBudget budget = WalkBudget());

  // Call about once a second; the first call gives zeros. Costs about 20 us a process, so after a long walk the last
  // result is given again until the walk's CPU time is within `budget`, a thousandth of the time.
  ForeignLoad measure(std::uint64_t monotonic_ns, std::span<const pid_t> job_inits);

 private:
  struct Process {
    pid_t parent = 0;
    std::uint64_t own_ticks = 0, children_ticks = 0, start_ticks = 0, threads = 1;
  };
  using Processes = std::unordered_map<pid_t, Process>;
  using Waits = std::unordered_map<pid_t, std::uint64_t>;  // by thread, ns since its start

  // The same one, and not another with its id; else null.
  static const Process* find_known(const Processes&, pid_t, const Process&);
  std::vector<pid_t> list_group() const;
  Processes find_foreign(std::span<const pid_t> job_inits) const;
  double ticks_used(const Processes& now, double seconds) const;
  Waits read_waits(const Processes& now) const;

  ProcDir proc_;
  Cgroup group_;
  unsigned host_pus_;
  pid_t droverd_;
  Processes before_;
  Waits waits_before_;
  WalkBudget budget_;
  std::uint64_t last_ns_ = 0;
  ForeignLoad last_;
};

}  // namespace drover
