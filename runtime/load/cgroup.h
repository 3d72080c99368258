// What a cgroup (v1 or v2) leaves this process of its host: CPU quota, memory limit and usage, and how long its tasks
// waited. A container or a batch system gives a node no more than that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/load/proc_dir.h"
#include "runtime/load/reading.h"

namespace drover {

// cpu.max of v2 ("50000 100000"), in CPUs. Empty for "max" and for text that is none.
std::optional<double> parse_cpu_max(std::string_view text);
// cpu.cfs_quota_us and cpu.cfs_period_us of v1, in CPUs. Empty for -1: no limit.
std::optional<double> parse_cfs_quota(std::string_view quota, std::string_view period);
// The path of this process in the hierarchy of `controller` ("" for v2's), from /proc/PID/cgroup; empty if it is in
// none.
std::string parse_cgroup_path(std::string_view text, std::string_view controller);

// The smallest quota of this process's cgroup and those above it; empty without one.
std::optional<double> cpu_quota(const ProcDir& proc = ProcDir("/proc"));

// This process's group in one hierarchy.
struct Cgroup {
  std::string mount;  // where the hierarchy is mounted
  std::string path;   // below it; "" is its root
  bool v2 = false;
};
// In the hierarchies that can hold `controller`: v1's own, and v2's. Found once: a process seldom changes its group.
std::vector<Cgroup> find_cgroups(const ProcDir& proc, std::string_view controller);

// The group whose processes share what this node counts on: the one with the smallest CPU quota, else this process's
// own, in v1's cpu hierarchy or v2's. Empty if that is a root, which holds the whole host (a container's root holds the
// container).
std::optional<Cgroup> cpu_group(const ProcDir& proc = ProcDir("/proc"));
// One number per group, equal for all processes that see the group, wherever they have it mounted; 0 if it is not
// there. They differ within one kernel; on different ones they may be equal.
std::uint64_t cgroup_id(const Cgroup& group);
// Those of this process's groups in the hierarchies of cpu_group(), and of the groups above these as far as they can be
// seen.
std::vector<std::uint64_t> cpu_group_ids(const ProcDir& proc = ProcDir("/proc"));

struct MemoryLimit {
  std::uint64_t limit_kib = 0;
  std::uint64_t used_kib = 0;  // without file pages that nobody has used lately: the kernel drops those first
  std::uint64_t available_kib() const { return limit_kib > used_kib ? limit_kib - used_kib : 0; }
};
// memory.max or memory.high of v2, memory.limit_in_bytes of v1, in KiB. Empty for "max", for v1's largest value, which
// means the same, and for text that is none.
std::optional<std::uint64_t> parse_memory_limit(std::string_view text);
// memory.stat's inactive_file (v2) or total_inactive_file (v1: the first leaves out the groups below), in bytes.
std::uint64_t parse_inactive_file(std::string_view text);
// Of these groups and all above them the limit that leaves least; empty without one.
std::optional<MemoryLimit> memory_limit(const std::vector<Cgroup>& groups);

// {cpu,io,memory}.pressure of the v2 groups among these.
Pressures cgroup_pressure(const std::vector<Cgroup>& groups);

}  // namespace drover
