// What a host's facts mean for its jobs: fine, limited and what that costs, or missing and how to get it. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/doctor/host_facts.h"

namespace drover {

enum class Condition { Ok, Limited, Missing };
const char* condition_name(Condition);  // "ok", "limited", "missing"

struct Finding {
  std::string check;
  Condition condition = Condition::Ok;
  std::string detail;
};

std::vector<Finding> judge(const HostFacts& facts);
// A clock that differs from the asking node's by `skew_ms`, known to within `error_ms`.
Finding judge_clock(double skew_ms, double error_ms);

nlohmann::json finding_to_json(const Finding& finding);

}  // namespace drover
