// What a node knows of its load beyond the factors: shown for the node itself, never sent. The vote needs a few numbers
// that mean the same everywhere; a person who asks why a node is BUSY needs these.
#pragma once

#include <optional>

#include "runtime/load/cgroup.h"
#include "runtime/load/pu_set.h"
#include "runtime/load/reading.h"

namespace drover {

// Shares of the time of this node's PUs, 0..1. The rest is idle.
struct CpuSplit {
  double user = 0, nice = 0;
  double system = 0;  // with interrupts, hard and soft
  double iowait = 0;  // idle while a task of that PU waited for a disk (proc(5): not reliable, but the kernel's best)
  double steal = 0;   // the hypervisor ran others
};

struct PageRates {                         // per second
  double in_kib = 0, out_kib = 0;          // from and to block devices: pgpgin, pgpgout
  double swapped_in = 0, swapped_out = 0;  // pages
  double major_faults = 0;
};

struct BlockRates {  // sectors of 512 bytes per second
  double read = 0, written = 0;
};

struct LoadDetail {  // empty: not known, as all rates are after the first sample
  std::optional<CpuSplit> cpu;
  std::optional<BlockRates> blocks;
  std::optional<PageRates> pages;
  std::optional<double> forks_per_second;
  std::optional<std::uint64_t> threads;    // of the host
  std::optional<std::uint64_t> processes;  // of the host
  std::optional<std::uint64_t> blocked;    // threads that wait for a disk at this moment
  Pressures pressure, cgroup_pressure;     // of the host, and of this process's cgroup (v2 only)
  std::optional<MemoryLimit> memory_limit;
};

// Pure. `seconds` > 0 between the two readings; `pus`: whose time the CPU's shares are of.
LoadDetail describe_load(const Reading& before, const Reading& now, double seconds, const PuSet& pus);

}  // namespace drover
