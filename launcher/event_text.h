// One event of the log, in words for people.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace drover {

// "12:00:00.123" here.
std::string clock_text(std::uint64_t time_ns);

// By this host's clock, as far as droverd knows how far the clock of the event's node is off.
std::uint64_t event_time_ns(const nlohmann::json& event);

// Every field but time, node and event as name=value, without empty ones and those that `skip` is true for.
std::string event_details(
    const nlohmann::json& event,
    const std::function<bool(const std::string& name, const nlohmann::json& value)>& skip = nullptr);

}  // namespace drover
