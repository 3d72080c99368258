// What a node is made of, through hwloc, and how the ranks that share a host divide it.
//
// An allocation often owns only a part of a host (a cpuset, an affinity mask set by the batch system), so the PUs that
// count are those this process may run on, not those the machine has.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/load/pu_set.h"

namespace drover {

// One rank's part of its host.
struct Share {
  PuSet pus;              // PUs its jobs are bound to
  double capacity = 1;    // PUs it may count on: pus.size(), or less where ranks share PUs
  unsigned host_pus = 1;  // PUs of all the host's ranks together
};

class Topology {
 public:
  // This machine as this process sees it. Throws std::runtime_error when hwloc can't read it.
  static Topology load();
  // hwloc's synthetic description, such as "pack:2 core:4 pu:2"; every PU is allowed. For tests and the simulator.
  static Topology synthetic(const std::string& description);

  unsigned packages() const { return packages_; }
  unsigned cores() const { return static_cast<unsigned>(cores_.size()); }
  unsigned pus() const { return pus_; }
  std::uint64_t memory_kib() const { return memory_kib_; }  // of the machine; 0 if unknown
  const PuSet& allowed() const { return allowed_; }         // what this process may run on: never empty
  // The machine's cores in hwloc's logical order (neighbours share caches), each with its PUs.
  const std::vector<PuSet>& core_pus() const { return cores_; }

 private:
  Topology() = default;
  static Topology read(void* hwloc_topology, bool this_system);

  unsigned packages_ = 0;
  unsigned pus_ = 0;
  std::uint64_t memory_kib_ = 0;
  PuSet allowed_;
  std::vector<PuSet> cores_;
};

// The part of rank `local_rank` of the `local_ranks` on this host, of the PUs in `allowed`: whole cores while there is
// one for each, then single PUs; with fewer PUs than ranks everybody gets all of them and counts on its fraction. Pure;
// throws std::invalid_argument for a rank out of range or an empty set.
Share deal(const std::vector<PuSet>& core_pus, const PuSet& allowed, unsigned local_rank, unsigned local_ranks);

}  // namespace drover
