// A JobSpec as the launcher and the event log write it (runtime/control/PROTOCOL.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/jobs/spec.h"

namespace drover {

// Arguments and variables are bytes, JSON strings are UTF-8: one that is not UTF-8 is written as {"hex": "..."}.
nlohmann::json string_to_json(const std::string&);
nlohmann::json strings_to_json(const std::vector<std::string>&);
std::string string_from_json(const nlohmann::json&);

nlohmann::json spec_to_json(const JobSpec&);
// Throws std::invalid_argument naming the field that is missing or wrong.
JobSpec spec_from_json(const nlohmann::json&);

}  // namespace drover
