// How often nodes share their load (runtime/exchange), as the configuration sets it.
#pragma once

#include "runtime/control/loop.h"

namespace drover {

struct ExchangeTimes {
  Nanoseconds period = std::chrono::seconds(1);
  Nanoseconds deadline = std::chrono::milliseconds(500);  // past it a round is late and heartbeats count
  Nanoseconds stale_after = std::chrono::seconds(3);      // an older vector is not used for decisions
};

}  // namespace drover
