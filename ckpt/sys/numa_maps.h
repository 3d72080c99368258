// /proc/PID/numa_maps (numa(7)): which areas have a memory policy.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace drover {

// Where the areas begin whose policy is not the default. Lines that are not understood are passed over: the kernel is
// asked for the policy itself.
std::vector<std::uint64_t> parse_numa_maps(std::string_view text);

}  // namespace drover
