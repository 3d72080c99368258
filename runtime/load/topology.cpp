#include "runtime/load/topology.h"

#include <fmt/format.h>
#include <hwloc.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <stdexcept>

namespace drover {

namespace {

struct HwlocDeleter {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using HwlocPointer = std::unique_ptr<hwloc_topology, HwlocDeleter>;

struct BitmapDeleter {
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using BitmapPointer = std::unique_ptr<hwloc_bitmap_s, BitmapDeleter>;

HwlocPointer make_hwloc() {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) < 0) throw std::runtime_error("hwloc: can't initialise a topology");
  return HwlocPointer(topology);
}

PuSet to_pu_set(hwloc_const_bitmap_t bitmap) {
  PuSet pus;
  for (int pu = hwloc_bitmap_first(bitmap); pu >= 0; pu = hwloc_bitmap_next(bitmap, pu))
    pus.push_back(static_cast<unsigned>(pu));
  return pus;
}

unsigned count(hwloc_topology_t topology, hwloc_obj_type_t type) {
  return static_cast<unsigned>(std::max(0, hwloc_get_nbobjs_by_type(topology, type)));
}

}  // namespace

Topology Topology::read(void* hwloc_topology_pointer, bool this_system) {
  auto* topology = static_cast<hwloc_topology_t>(hwloc_topology_pointer);
  Topology out;
  out.packages_ = std::max(1U, count(topology, HWLOC_OBJ_PACKAGE));
  out.pus_ = count(topology, HWLOC_OBJ_PU);
  out.memory_kib_ = hwloc_get_root_obj(topology)->total_memory / 1024;
  // Some virtual machines and containers show no cores: then each PU is one.
  const hwloc_obj_type_t kind = count(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_by_type(topology, kind, core)) != nullptr;)
    out.cores_.push_back(to_pu_set(core->cpuset));
  BitmapPointer allowed(hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(topology)));
  if (this_system) {
    BitmapPointer bound(hwloc_bitmap_alloc());
    if (hwloc_get_cpubind(topology, bound.get(), HWLOC_CPUBIND_PROCESS) == 0)
      hwloc_bitmap_and(allowed.get(), allowed.get(), bound.get());
  }
  out.allowed_ = to_pu_set(allowed.get());
  if (out.allowed_.empty()) throw std::runtime_error("hwloc: no CPU that this process may use");
  return out;
}

Topology Topology::load() {
  const HwlocPointer topology = make_hwloc();
  if (hwloc_topology_load(topology.get()) < 0) throw std::runtime_error("hwloc: can't read this machine's topology");
  Topology out = read(topology.get(), true);
  // Where the kernel's NUMA nodes do not add up to the machine (hot-plugged memory in virtual machines), sysinfo(2)
  // knows.
  struct sysinfo info;
  if (::sysinfo(&info) == 0) out.memory_kib_ = static_cast<std::uint64_t>(info.totalram) * info.mem_unit / 1024;
  return out;
}

Topology Topology::synthetic(const std::string& description) {
  const HwlocPointer topology = make_hwloc();
  if (hwloc_topology_set_synthetic(topology.get(), description.c_str()) < 0 || hwloc_topology_load(topology.get()) < 0)
    throw std::runtime_error(fmt::format("hwloc: '{}' is not a synthetic topology", description));
  return read(topology.get(), false);
}

Share deal(const std::vector<PuSet>& core_pus, const PuSet& allowed, unsigned local_rank, unsigned local_ranks) {
  if (local_rank >= local_ranks || allowed.empty())
    throw std::invalid_argument(
        fmt::format("can't deal {} PUs to rank {} of {}", allowed.size(), local_rank, local_ranks));
  std::vector<PuSet> units;  // what is dealt: cores, cut down to their allowed PUs
  for (const PuSet& core : core_pus) {
    PuSet usable;
    std::set_intersection(core.begin(), core.end(), allowed.begin(), allowed.end(), std::back_inserter(usable));
    if (!usable.empty()) units.push_back(std::move(usable));
  }
  if (units.size() < local_ranks) {  // not a core for each: deal PUs, in the cores' order
    std::vector<PuSet> single;
    for (const PuSet& unit : units)
      for (unsigned pu : unit) single.push_back({pu});
    units = std::move(single);
  }
  const auto host_pus = static_cast<unsigned>(allowed.size());
  if (units.size() < local_ranks) return {allowed, static_cast<double>(host_pus) / local_ranks, host_pus};
  Share share;
  share.host_pus = host_pus;
  for (std::size_t i = units.size() * local_rank / local_ranks; i < units.size() * (local_rank + 1) / local_ranks; ++i)
    share.pus.insert(share.pus.end(), units[i].begin(), units[i].end());
  std::sort(share.pus.begin(), share.pus.end());
  share.capacity = static_cast<double>(share.pus.size());
  return share;
}

}  // namespace drover
