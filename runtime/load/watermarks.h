// When a node is FREE, NORMAL or BUSY: a low and a high watermark and a weight for each factor, and the vote over them.
//
// Every known factor votes with its weight: "free" below its low watermark, "busy" above its high one. More than half
// of the weight decides; with equal weights that is "FREE when most factors are below low, BUSY when most are above
// high". The defaults are not equal: a program that only computes raises the run queue and the CPU share and none of
// the other six, so under equal weights a node whose every PU is taken would never be BUSY. The run queue therefore
// weighs 6 and the CPU share 3 against 1 for each of the others: together they outvote the rest; where they disagree
// (threads waiting for a disk are not runnable) the rest decides. On a shared host only those two and memory are known,
// and the run queue decides alone: a crowded host gives a node less CPU than its part, however many of its threads
// wait.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "runtime/load/sample.h"

namespace drover {

struct Watermark {
  double low = 0;     // below it: "free". In the factor's unit.
  double high = 0;    // above it: "busy"; never below low
  double weight = 1;  // 0 takes the factor out of the vote
};

struct Watermarks {
  std::array<Watermark, kFactors> factors;
  Watermark& operator[](Factor factor) { return factors[static_cast<std::size_t>(factor)]; }
  const Watermark& operator[](Factor factor) const { return factors[static_cast<std::size_t>(factor)]; }
};

// Defaults for a node that may count on `capacity` PUs (more than 0): FREE while at least three quarters of a PU are
// idle (room for one more job), BUSY when less than a quarter of a PU is.
Watermarks default_watermarks(double capacity);

// Pure. A sample of which nothing is known is NORMAL.
NodeState classify(const LoadSample&, const Watermarks&);

// Overrides from the text of a configuration file (TOML tables or INI sections):
//
//   [watermarks.run_queue]
//   low = 0.5
//   high = 0.9
//   weight = 4
//
// Other sections are left to others. Throws std::runtime_error naming `file`, key, value and the permitted range;
// `watermarks` is then unchanged. Returns which factors the text sets something of.
std::array<bool, kFactors> apply_config(Watermarks& watermarks, std::string_view text, const std::string& file);

}  // namespace drover
