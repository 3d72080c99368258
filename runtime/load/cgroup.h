// The CPU quota that a cgroup (v1 or v2) puts on this process: what a container or a batch system gives of a host.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/load/proc_dir.h"

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

}  // namespace drover
