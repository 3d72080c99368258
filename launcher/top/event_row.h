// One event of the log as a line for people who watch.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "launcher/top/world.h"

namespace drover::top {

// Nothing for the events that say what another one says, too, or that only `drover replay` needs.
std::optional<EventRow> event_row(const nlohmann::json& event);

}  // namespace drover::top
