// Receiver-initiated, preemptive balancing: whom a FREE node asks for a job.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/policy/policy.h"
#include "runtime/policy/view.h"

namespace drover {

// The nodes that `self` asks, one after the other until one gives; none while it is not FREE.
std::vector<int> choose_givers(const PolicySettings& settings, int self, const NodeView& own,
                               std::span<const NodeView> table, std::uint64_t seed);

}  // namespace drover
