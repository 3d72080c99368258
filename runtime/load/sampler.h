// Measures this node's load: reads /proc once per round and turns the counters into the factors of a LoadSample.
//
// The hard part is whose load it is. On a host of its own a node takes everything on its PUs, and what its jobs do not
// explain is foreign. A node that counts on a cgroup takes what runs in that group (foreign_meter.h). Where ranks share
// a host, and a group or have none, nobody can say whose the rest is, so only what the node's own jobs do is known: run
// queue, CPU share, memory.
//
// Rates are differences of two samples over the time between them, so a sampler that slept gives the mean of that time,
// and the first sample has no rates (only memory and swap are known). Figures per PU are per PU that the node may count
// on (Share::capacity): one job on half a PU is a run queue of 2.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string>

#include "runtime/load/cgroup.h"
#include "runtime/load/detail.h"
#include "runtime/load/foreign_meter.h"
#include "runtime/load/job_meter.h"
#include "runtime/load/reading.h"
#include "runtime/load/sample.h"
#include "runtime/load/topology.h"

namespace drover {

class LoadSampler {
 public:
  // `shared_host`: other ranks run on this host. `own_group`: the cgroup that `share` is a share of, if no other rank
  // is in it; run queue and CPU share are then of this group. `proc_root` is another directory in tests only.
  LoadSampler(Share share, bool shared_host, const std::string& proc_root = "/proc",
              const std::optional<Cgroup>& own_group = std::nullopt);

  // One sample; `job_inits` are the shepherds' inits (PIDs as this process's /proc shows them), below each of which one
  // job runs. `state`, `jobs` and the other counts are left to the caller. Never throws for a file that is missing: the
  // factor is then not known.
  LoadSample sample(std::uint64_t realtime_ns, std::uint64_t monotonic_ns, std::span<const pid_t> job_inits);

  // JobMeter::ended(), for the next sample.
  void job_ended(pid_t init, double cpu_seconds) { jobs_.ended(init, cpu_seconds); }

  // What the last sample was made of. On a shared host only the memory limit is known.
  const LoadDetail& detail() const { return detail_; }
  // Runnable threads of each job, by its init, where the last sample could tell (JobMeter::runnable()).
  const std::map<pid_t, double>& runnable() const { return jobs_.runnable(); }

 private:
  void fill_memory(LoadSample&, const JobLoad&);
  void fill_detail(LoadSample&, const Reading& now, double seconds);
  void fill_own(LoadSample&, const JobLoad&) const;
  void fill_host(LoadSample&, const Reading& now, double seconds, const JobLoad&);
  void fill_group(LoadSample&, const ForeignLoad&, const JobLoad&) const;
  double host_busy_pus(const Reading& now) const;
  double foreign_waiting(const Reading& now, double seconds, const JobLoad&);
  static void set(LoadSample&, Factor, double value);

  Share share_;
  bool shared_host_;
  ProcDir proc_;
  JobMeter jobs_;
  std::optional<ForeignMeter> foreign_;  // only with a group of its own
  std::vector<Cgroup> memory_groups_;
  LoadDetail detail_;
  std::optional<Reading> last_;
  std::uint64_t last_ns_ = 0;
  std::deque<double> runnable_;  // momentary foreign run queues, where the kernel keeps no schedstat
};

}  // namespace drover
