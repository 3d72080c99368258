// How far another node's clock is ahead of this one's, by one question and its answer (Cristian's algorithm): the
// answer was given between the two, so half of what they took is how wrong this may be.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

namespace drover {

struct ClockAhead {
  double ms = 0, within_ms = 0;
  bool told_apart() const { return ms > within_ms || ms < -within_ms; }
};

// `answer` to {"what": "clock"}; nothing if the node has not answered. `asked_ns`: CLOCK_REALTIME here.
std::optional<ClockAhead> clock_ahead(const nlohmann::json& answer, std::uint64_t asked_ns);

}  // namespace drover
