// Sender-initiated, non-preemptive balancing: does a newly arrived job start here, and whom is asked else. Pure: a load
// table in, a decision out.
#pragma once

#include <random>
#include <span>
#include <vector>

#include "runtime/load/sample.h"
#include "runtime/load/watermarks.h"

namespace drover {

// What a node knows of another (or of itself) when it decides.
struct NodeView {
  LoadSample sample;
  bool usable = true;  // there, not excluded, its sample not stale
};

// The state a node would measure if jobs that have just been placed there (and that its last sample can't show yet)
// were already computing: each counts as one runnable thread. Without this a burst of arrivals would all see the same
// idle node.
NodeState expected_state(const LoadSample& sample, const Watermarks& watermarks, int unseen_jobs);

// Up to `probe_limit` distinct usable ranks other than `self`, in random order. Random, not the least loaded of the
// table: old tables make herds (Mitzenmacher 2000).
std::vector<int> choose_probes(std::span<const NodeView> table, int self, int probe_limit, std::mt19937_64& random);

}  // namespace drover
