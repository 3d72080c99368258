// What the ranks of a new world tell each other before anything else, and what they refuse to start with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/control/paths.h"
#include "runtime/load/topology.h"
#include "runtime/mpi/doorbell.h"
#include "runtime/mpi/world.h"

namespace drover {

// Fixed size, version first: ranks of different versions can always read this much of each other.
struct NodeCard {
  char version[32];
  char host[72];
  char wanted_name[40];   // DROVER_NODE_NAME, or empty
  std::uint64_t host_id;  // equal for ranks on one (virtual) host
  std::uint64_t cookie;   // rank 0's is the world's
  std::uint64_t generation;
  std::uint32_t packages, cores, pus;
  std::uint32_t sees_other_hosts;  // DROVER_SHARED_HOST: a container that sees its whole machine's /proc/stat
  std::uint64_t memory_kib;
  char allowed_pus[128];  // a kernel cpu list, cut off when longer
  std::uint64_t xcr0;
  char instructions[1536];  // with blanks between them; longer: those that don't fit are left out
  mpi::DoorbellAddress doorbell;
  std::uint64_t boot_id;         // of the kernel, hashed: equal for all virtual hosts and containers of a machine
  std::uint64_t cpu_group;       // cgroup_id() of cpu_group(), 0: none
  std::uint64_t cpu_groups[24];  // cpu_group_ids(), zeros behind them; if there are more, the last is kMoreGroups
};
inline constexpr std::uint64_t kMoreGroups = ~std::uint64_t{0};

struct NodeInfo {
  std::string name, host;
  unsigned packages = 0, cores = 0, pus = 0;
  std::uint64_t memory_kib = 0;
  std::string allowed_pus;
  bool shared_host = false;  // its /proc/stat counts other nodes' work too
  std::string lacks;         // why its processor can't go on with a program of this node's; empty: it can
};

struct WorldInfo {
  std::vector<NodeInfo> nodes;  // by rank
  std::vector<mpi::DoorbellAddress> doorbells;
  std::vector<bool> same_host;  // as this rank
  std::uint64_t cookie = 0, generation = 0;
  unsigned local_rank = 0, local_ranks = 1;
  bool own_cpu_group = false;  // no other rank is in this rank's cpu_group(), nor in a group below it
};

// Collective and blocking, at the start only. Throws std::runtime_error naming the nodes that differ in version, or
// that do not share the state directory.
WorldInfo introduce(const mpi::World& world, const Topology& topology, const mpi::DoorbellAddress& doorbell,
                    const InstancePaths& paths);

// Names by host where every rank has a host (and name) of its own, else node0, node1, ... by rank. DROVER_NODE_NAME
// wins.
std::vector<std::string> choose_names(const std::vector<NodeCard>& cards);
// Whether this rank has a cpu_group() that no other rank is in; unsure is no.
bool has_own_cpu_group(const std::vector<NodeCard>& cards, std::size_t rank);
// One line naming every rank whose version is not the first one's; empty if all are equal.
std::string version_conflict(const std::vector<NodeCard>& cards);
// The mpirun options that a world of more than one rank needs (see hostfiles/drover.env): the one that is missing and
// how to set it, or empty.
std::string missing_mpi_option();

}  // namespace drover
