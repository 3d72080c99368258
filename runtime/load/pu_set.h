// A set of processing units (hardware threads), by their operating-system numbers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace drover {

// Sorted, without repetition: as /proc, taskset and cgroups number CPUs.
using PuSet = std::vector<unsigned>;

// "0-3,8": as the kernel's cpu lists; "" for the empty set.
std::string format_pus(const PuSet&);

// Reads a kernel cpu list. Throws std::invalid_argument naming the bad text.
PuSet parse_pus(std::string_view list);

}  // namespace drover
