// What a decision knows of a node. The same whether it was measured by a droverd or comes from the simulator.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/load/sample.h"
#include "runtime/load/watermarks.h"

namespace drover {

inline constexpr int kManyPus = 1 << 16;

struct NodeView {
  double load = 0;      // runnable threads, ours and others', and those that have come since it was measured
  double capacity = 1;  // PUs it may count on
  double speed = 1;     // of one PU, by calibration; 1 is the reference
  NodeState state = NodeState::Free;
  bool usable = true;                      // there, not excluded, heard of lately
  bool accepts = true;                     // takes jobs of other nodes: neither draining nor forbidden by its owner
  bool leaving = false;                    // its foreign jobs are to go: it drains, or its owner wants it back
  int jobs = 0;                            // whose place it is
  int movable = 0;                         // of these, those that nothing pins
  double arrivals_per_second = 0;          // of jobs submitted there, of late
  std::uint64_t memory_available_kib = 0;  // 0: not known
  bool draining = false;                   // all of its jobs are to go, and none is to start there
  int slots = kManyPus;                    // PUs that it promises to jobs
  int free_slots = kManyPus;               // of these, those that no job has
  template <class A>
  void serialize(A& a, unsigned) {
    a& load& capacity& speed& state& usable& accepts& leaving& jobs& movable& arrivals_per_second& memory_available_kib;
    a& draining& slots& free_slots;
  }
};

// What a job asks of the node where it starts. It may move to one that has less: moves go by load.
struct Need {
  std::int32_t cpus = 1;         // PUs, of those that nodes promise
  std::uint64_t memory_kib = 0;  // available when it starts
  template <class A>
  void serialize(A& a, unsigned) {
    a& cpus& memory_kib;
  }
};
bool fits(const NodeView& node, const Need& need);

// What one runnable thread gets done per second on a node that has `load` of them, in seconds of a reference PU:
// processors are shared equally by who wants them. Balance is equal expected progress and not equal counts: a slow
// node, or one with others' load on it, gets less.
inline double progress(const NodeView& node, double load) {
  const double share = load <= node.capacity ? 1.0 : node.capacity / load;
  return std::max(node.speed * share, 1e-9);
}
// What one thread more, or the one that goes, costs all threads of a node together, in seconds per second of work done
// by each of them: of n on one PU of speed 1 the n-th costs 2n - 1, its own n and the 1 by which it holds up each
// other.
inline double delay_added(const NodeView& node, double load) {
  const auto delay = [&](double threads) { return threads <= 0 ? 0 : threads / progress(node, threads); };
  return delay(load) - delay(load - 1);
}

// What a place is worth to one more thread, its cost to those that are there counted in.
inline double place_value(const NodeView& node) { return 1 / delay_added(node, node.load + 1); }

// Numbers that came from another node, made such that one can calculate with them.
NodeView sane(NodeView view);
// What a sample tells; `usable` says whether its node is there and the sample not stale.
NodeView view_of(const LoadSample& sample, bool usable);
// `sample` as it would be with so many runnable threads: what was measured is out of date when a job has just come or
// gone, and a burst of arrivals would all see the same idle node.
LoadSample with_demand(LoadSample sample, double threads, const Watermarks& watermarks);

}  // namespace drover
