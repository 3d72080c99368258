// What a node knows of every node, by rank of the world.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/load/sample.h"

namespace drover {

struct LoadEntry {
  LoadSample sample;
  std::uint64_t received_ns = 0;  // CLOCK_MONOTONIC here when it was true, as far as is known; 0: never
  bool second_hand = false;       // from the summary of another group
  bool listed = true;             // by the newest summary of its group, if it is second-hand
};
using LoadTable = std::vector<LoadEntry>;

// How long ago `then_ns` was; what was noted later in the same turn of the loop than `now_ns` was read is new.
inline std::uint64_t age_at(std::uint64_t now_ns, std::uint64_t then_ns) {
  return now_ns > then_ns ? now_ns - then_ns : 0;
}

}  // namespace drover
