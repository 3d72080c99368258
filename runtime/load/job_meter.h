// How much of a host the jobs below some shepherds use: CPU, waiting for CPU, memory.
//
// The hard part is that processes come and go between two samples. CPU time survives that: a process's own time plus
// the time of its waited-for children, summed over a tree, only grows, since an ended process's time moves to its
// parent. The init (root of the tree) collects what its orphans used; its own time is Drover's, not the job's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/load/proc_dir.h"
#include "runtime/load/walk_budget.h"

namespace drover {

struct JobLoad {
  double running = 0;              // CPUs' worth of time used, mean since the last measurement
  double waiting = 0;              // threads waiting for a CPU, mean since the last measurement
  std::uint64_t resident_kib = 0;  // shared pages are counted once per process
  double shepherds_running = 0;    // CPUs' worth of time that the inits themselves used
  double ended_running = 0;        // of `running`, what jobs used that have ended meanwhile
};

class JobMeter {
 public:
  // `host_pus` bounds what one tree can use (a bound on errors, not a measurement).
  JobMeter(ProcDir proc, unsigned host_pus);

  // Call about once a second. Walking costs about 20 us a thread, so after a long walk the last result is given again
  // until the walk's CPU time is under a thousandth of the time. A job seen for the first time counts from its start,
  // at most one CPU per thread.
  JobLoad measure(std::uint64_t monotonic_ns, std::span<const pid_t> job_inits);
  // The job below `init` has ended; it used `cpu_seconds` here. What it used since the last measurement stands in no
  // file any more.
  void ended(pid_t init, double cpu_seconds) { ended_[init] = cpu_seconds; }
  // Of the last measurement, by init: runnable threads, running or waiting for a CPU. Only trees that the measurement
  // before knew, so that the whole time between the two counts.
  const std::map<pid_t, double>& runnable() const { return runnable_; }

 private:
  struct Tree {
    std::uint64_t ticks = 0, init_ticks = 0, resident_pages = 0, threads = 0, start_ticks = 0;
  };
  JobLoad measure_trees(double seconds, std::span<const pid_t> job_inits);
  double waited_since_last(double seconds);
  double used_by_ended(double seconds);
  Tree walk(pid_t init);
  std::uint64_t resident_pages_of_threads(pid_t pid) const;
  void visit_threads(pid_t pid, std::uint64_t threads, std::vector<pid_t>& pending);
  void visit_thread(pid_t pid, pid_t tid, std::vector<pid_t>& pending);
  void find_children_by_scan();

  ProcDir proc_;
  unsigned host_pus_;
  std::map<pid_t, Tree> trees_;    // of the last measurement, by init
  std::map<pid_t, double> ended_;  // since then: CPU seconds, by init
  struct Waited {
    std::uint64_t ns;
    pid_t init;  // whose tree it is in
  };
  std::unordered_map<pid_t, Waited> waited_ns_;   // by thread, at the last measurement
  std::unordered_map<pid_t, Waited> waited_now_;  // the same, while measuring
  pid_t walking_ = 0;                             // the init whose tree is being walked
  std::map<pid_t, double> runnable_;
  std::unordered_map<pid_t, std::vector<pid_t>> children_;  // only where the kernel has no "children" files
  bool has_children_files_ = true;
  WalkBudget budget_;
  std::uint64_t last_ns_ = 0;
  JobLoad last_;
};

}  // namespace drover
