#include "runtime/policy/view.h"

namespace drover {

bool fits(const NodeView& node, const Need& need) {
  const bool memory_known = node.memory_available_kib != 0;
  return node.free_slots >= need.cpus && (!memory_known || node.memory_available_kib >= need.memory_kib);
}

static double within(double value, double least, double most) {
  return value >= least && value <= most ? value : value > most ? most : least;  // least for what is no number
}

NodeView sane(NodeView view) {
  constexpr double kMany = 1e6;
  if (view.state > NodeState::Busy) view.state = NodeState::Normal;
  view.load = within(view.load, 0, kMany);
  view.capacity = within(view.capacity, 0.01, kMany);
  view.speed = within(view.speed, 0.01, kMany);
  view.arrivals_per_second = within(view.arrivals_per_second, 0, kMany);
  view.slots = std::clamp(view.slots, 0, kManyPus);
  view.free_slots = std::clamp(view.free_slots, 0, kManyPus);
  return view;
}

NodeView view_of(const LoadSample& sample, bool usable) {
  NodeView view;
  view.capacity = static_cast<double>(sample.capacity);
  view.load = static_cast<double>(sample.demand);
  view.speed = sample.speed > 0 ? static_cast<double>(sample.speed) : 1.0;
  view.state = sample.state;
  view.usable = usable;
  view.accepts = (sample.flags & (kDraining | kNoForeignJobs)) == 0;
  view.draining = (sample.flags & kDraining) != 0;
  view.leaving = view.draining || ((sample.flags & kForeignJobsLeave) != 0 && sample.foreign_jobs > 0);
  view.jobs = sample.jobs;
  view.movable = sample.movable_jobs;
  view.arrivals_per_second = static_cast<double>(sample.arrivals_per_second);
  view.memory_available_kib = sample.memory_available_kib;
  view.slots = sample.slots;
  view.free_slots = sample.free_slots;
  return sane(view);
}

LoadSample with_demand(LoadSample sample, double threads, const Watermarks& watermarks) {
  const double per_pu = threads / std::max(static_cast<double>(sample.capacity), 0.01);
  const auto set = [&](Factor factor, double value) {
    const auto i = static_cast<std::size_t>(factor);
    sample.factors[i] = static_cast<float>(value);
    sample.known = static_cast<std::uint16_t>(sample.known | (1U << i));
  };
  set(Factor::RunQueue, per_pu);
  set(Factor::CpuShare, std::min(per_pu, 1.0));
  sample.demand = static_cast<float>(threads);
  sample.state = classify(sample, watermarks);
  return sample;
}

}  // namespace drover
