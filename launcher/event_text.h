// One event of the log, in words for people.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace drover {

// "12:00:00.123" here.
std::string clock_text(std::uint64_t time_ns);

// Every field but time, node and event as name=value, without empty ones and those that `skip` is true for.
std::string event_details(
    const nlohmann::json& event,
    const std::function<bool(const std::string& name, const nlohmann::json& value)>& skip = nullptr);

}  // namespace drover
