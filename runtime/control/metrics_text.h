// The nodes' figures as Prometheus takes them: its text format, version 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace drover {

// `nodes`: NODEs of PROTOCOL.md. Figures that nobody knows are left out.
std::string metrics_text(const nlohmann::json& nodes);

}  // namespace drover
