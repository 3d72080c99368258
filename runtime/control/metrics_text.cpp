#include "runtime/control/metrics_text.h"

#include <fmt/format.h>

#include <optional>

namespace drover {

using nlohmann::json;

namespace {

std::string label(const char* name, const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\n') {
      escaped += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c;
  }
  return fmt::format("{}=\"{}\"", name, escaped);
}

std::string node_label(const json& node) { return label("node", node.value("node", "")); }

void head(std::string& text, const char* name, const char* help) {
  text += fmt::format("# HELP {} {}\n# TYPE {} gauge\n", name, help, name);
}

void sample(std::string& text, const char* name, const std::string& labels, double value) {
  text += fmt::format("{}{{{}}} {}\n", name, labels, value);
}

std::optional<double> number(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

struct Metric {
  const char* name;
  const char* help;
  const char* field;   // of a NODE
  double unit = 1;     // of the field, in the metric's
  bool always = true;  // else only of a node that has told of its load
};

constexpr Metric kMetrics[] = {
    {"drover_node_pus", "Processing units that the node has.", "pus"},
    {"drover_node_slots", "Processing units that the node promises to jobs.", "slots", 1, false},
    {"drover_node_free_slots", "Of these, those that no job has.", "free_slots", 1, false},
    {"drover_node_jobs", "Jobs that run there.", "jobs", 1, false},
    {"drover_node_foreign_jobs", "Of these, those that were submitted at another node.", "foreign_jobs", 1, false},
    {"drover_node_speed_ratio", "Of one processing unit, to the reference.", "speed", 1, false},
    {"drover_node_memory_bytes", "Memory of the host.", "memory_kib", 1024},
    {"drover_node_memory_available_bytes", "Of it, what is available.", "memory_available_kib", 1024, false},
    {"drover_node_load_age_seconds", "Age of the figures of load.", "age_ms", 1e-3, false},
};

bool has_told(const json& node) { return node.value("age_ms", -1.0) >= 0; }

}  // namespace

std::string metrics_text(const json& nodes) {
  std::string text;
  constexpr const char *kUp = "drover_node_up", *kState = "drover_node_state", *kFactor = "drover_node_load_factor";
  head(text, kUp, "1 if decisions count on the node: it belongs to the world, and its figures are fresh.");
  for (const json& node : nodes) {
    const bool up = has_told(node) && !node.value("stale", false) && node.value("state", "") != "EXCLUDED";
    sample(text, kUp, node_label(node), up ? 1 : 0);
  }
  head(text, kState, "1 for the state that the node is in.");
  for (const json& node : nodes)
    sample(text, kState, node_label(node) + "," + label("state", node.value("state", "")), 1);
  for (const Metric& metric : kMetrics) {
    head(text, metric.name, metric.help);
    for (const json& node : nodes) {
      const auto value = number(node, metric.field);
      if (value && (metric.always || has_told(node))) sample(text, metric.name, node_label(node), *value * metric.unit);
    }
  }
  head(text, kFactor, "One measured quantity of load; drover nodes --factors has the watermarks.");
  for (const json& node : nodes) {
    if (!has_told(node)) continue;
    const json factors = node.value("factors", json::object());
    for (const auto& [name, factor] : factors.items()) {
      const auto value = number(factor, "value");
      if (value && factor.value("known", false))
        sample(text, kFactor, node_label(node) + "," + label("factor", name), *value);
    }
  }
  return text;
}

}  // namespace drover
