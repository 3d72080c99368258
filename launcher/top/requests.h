// What a command of `top` asks of droverd, and its answer in a line.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "launcher/top/controls.h"

namespace drover::top {

// Of Move, Kill, Drain and Undrain.
nlohmann::json request_of(const Action& action);
std::string waiting_text(const Action& action);

struct Outcome {
  std::string text;
  bool ok = true;
};
Outcome outcome_of(const Action& action, const nlohmann::json& reply);

}  // namespace drover::top
