// The hosts that a batch system has given to the job that runs here: `drover up` without options goes there.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/world/hostfile.h"

namespace drover {

struct Allocation {
  std::string name;  // "Slurm job 17", for messages
  std::vector<Host> hosts;
};

// Slurm's (SLURM_JOB_NODELIST) or PBS's (PBS_NODEFILE) from this environment; nothing outside of both. One node for
// each host, however many cores of it are allocated: droverd sees which (hwloc's allowed set). Throws
// std::runtime_error naming the variable if it can't be understood.
std::optional<Allocation> find_allocation();

// "node[1-3,7],gpu[01-04]": as `scontrol show hostnames` expands it. Throws std::runtime_error.
std::vector<std::string> expand_node_list(std::string_view list);

}  // namespace drover
