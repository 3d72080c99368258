// One event of the log, in words for people.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace drover {

// "12:00:00.123" here.
std::string clock_text(std::uint64_t time_ns);

// By this host's clock, as far as droverd knows how far the clock of the event's node is off.
std::uint64_t event_time_ns(const nlohmann::json& event);

// Every field but time, node, event and `besides` as name=value, without empty ones and without those that fill pages
// and are for programs: the whole of a job's options, and what a decision was made from and gave.
std::string event_details(const nlohmann::json& event, std::string_view besides = {});

}  // namespace drover
