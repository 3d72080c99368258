// What a calibration does for each factor: which programs raise it, in which steps, and which probe feels it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/load/calibration/load_program.h"
#include "runtime/load/calibration/loads.h"
#include "runtime/load/sample.h"
#include "runtime/load/topology.h"

namespace drover {

struct CalibrationOptions {
  std::string directory;                             // for temporary files
  double low_slowdown = 0.05, high_slowdown = 0.25;  // 0 < low <= high
  double memory_share = 0.85;                        // at most so much of the available memory is filled
  bool quick = false;                                // short probes; but for the processor only every other level
};

// Functions keep what they need (files, groups) alive; that ends with the experiment.
// Which of a level's probes counts. Others on this machine only ever slow a probe, so the fastest is the least
// disturbed; but where the load itself shares the CPUs in slices, the fastest is the one that was lucky.
enum class Count : std::uint8_t { Median, Fastest };

struct Experiment {
  std::string load;  // what the levels count: "busy programs"
  std::vector<Factor> factors;
  std::vector<double> levels;            // rising; the first is 0, no load
  std::function<std::string()> prepare;  // why it can't be done here; empty: ready
  // The programs of one level; those of the level before have ended. A load that builds up keeps its programs itself
  // until it is started at level 0 again.
  std::function<LoadPrograms(double level)> start;
  // Has the load reached its level? Empty: at once. With `give_up` it stays at what it has reached.
  std::function<bool(bool give_up)> settled;
  std::function<void(Work&)> probe;
  Count count = Count::Median;
};

// `wait` is asked during long preparations, and ends them by its exception.
std::vector<Experiment> plan_experiments(const CalibrationOptions&, const Share&, const Interruptible& wait);

// Every other one, from the first on, and the last.
std::vector<double> quick_levels(const std::vector<double>& levels);
// Numbers of busy programs for a node of `capacity` PUs, rising: from none to twice as many as PUs, dense where the
// last PU fills up.
std::vector<double> cpu_levels(double capacity);

}  // namespace drover
