// A job, as `ps` tells of it (JOB in PROTOCOL.md), in words for people.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/table.h"

namespace drover {

// "ended", "failed" and "lost": nothing will happen to the job any more.
bool is_final_state(std::string_view state);

// "running", "exit 1", "signal 9", ...
std::string state_text(const nlohmann::json& job);
Table::Colour state_colour(const std::string& state_text);

// Of a task of an array with its index.
std::string name_text(const nlohmann::json& job);

// "attempt 2 of 4"
std::string attempt_text(const nlohmann::json& job);

// Why it sits where it sits, the most telling reason first.
std::string why_text(const nlohmann::json& job);

// From its start to its end, else to now; 0 before it has started.
double run_seconds(const nlohmann::json& job);

// The words so that a shell reads the same words again.
std::string shell_command(const std::vector<std::string>& argv);
std::string command_text(const nlohmann::json& job);

// "2026-11-28 12:00:00" here; "-" for 0, which says that it has not happened.
std::string local_time_text(std::uint64_t time_ns);

}  // namespace drover
