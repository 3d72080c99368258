#include "runtime/node/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace drover {

namespace {

std::string config_path() {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  if (auto path = environment("DROVER_CONFIG"); !path.empty()) {
    if (!std::ifstream(path)) throw std::runtime_error(fmt::format("DROVER_CONFIG={}: no such file", path));
    return path;
  }
  const std::string home =
      environment("XDG_CONFIG_HOME").empty() ? environment("HOME") + "/.config" : environment("XDG_CONFIG_HOME");
  const std::string path = home + "/drover/drover.toml";
  return std::ifstream(path) ? path : "";
}

Nanoseconds seconds(double value) { return Nanoseconds(static_cast<std::int64_t>(value * 1e9)); }

bool truth(const std::string& value, bool& result) {
  if (value == "true" || value == "false") result = value == "true";
  return value == "true" || value == "false";
}

std::string policy_names() {
  std::string names;
  for (const Policy& policy : all_policies()) names += fmt::format("{}{}", names.empty() ? "" : ", ", policy.name);
  return names;
}

// One key and value of a [balance] table, of all nodes or of one.
struct Setting {
  std::string node;  // empty: of all
  std::string key, value;
};

[[noreturn]] void refuse(const NodeConfig& config, const Setting& setting, const std::string& why) {
  const std::string table = setting.node.empty() ? "balance" : "node." + setting.node + ".balance";
  throw std::runtime_error(fmt::format("{}: {}.{} = {}: {}", config.path, table, setting.key, setting.value, why));
}

struct Key {
  const char* name;
  double least, most;
  bool same_for_all;  // nodes that differ in it would wait for each other
  void (*set)(NodeConfig&, double);
};

constexpr Key kKeys[] = {
    {"round_seconds", 0.05, 60, true,
     [](NodeConfig& config, double v) {
       config.times.period = seconds(v);
       config.times.deadline = seconds(v / 2);
       config.times.stale_after = seconds(3 * v);
     }},
    {"suspect_seconds", 0.5, 3600, true, [](NodeConfig& config, double v) { config.suspect_after = seconds(v); }},
    {"answer_seconds", 1, 3600, true, [](NodeConfig& config, double v) { config.answer_deadline = seconds(v); }},
    {"probe_limit", 0, 64, false,
     [](NodeConfig& config, double v) { config.policy.probe_limit = static_cast<int>(v); }},
    {"choices", 1, 1024, false, [](NodeConfig& config, double v) { config.policy.choices = static_cast<int>(v); }},
    {"safety", 0, 1000, false, [](NodeConfig& config, double v) { config.policy.rule.safety = v; }},
    {"min_residence_seconds", 0, 86400, false,
     [](NodeConfig& config, double v) { config.policy.rule.min_residence_seconds = v; }},
    {"two_level_above", 2, 1e6, true,
     [](NodeConfig& config, double v) { config.two_level_above = static_cast<int>(v); }},
    {"foreign_load", 0, 1000, false, [](NodeConfig& config, double v) { config.owner.foreign_load = v; }},
};

// Keys whose values are words; false if it is none of them.
bool set_word(NodeConfig& config, const Setting& setting) {
  if (setting.key == "migrate") {
    if (!truth(setting.value, config.policy.migrate)) refuse(config, setting, "true or false is permitted");
  } else if (setting.key == "policy") {
    const auto policy = find_policy(setting.value);
    if (!policy) refuse(config, setting, fmt::format("one of {} is permitted", policy_names()));
    config.policy.policy = *policy;
  } else if (setting.key == "accept") {
    const auto accept = find_accept(setting.value);
    if (!accept) refuse(config, setting, "always, when-free or never is permitted");
    config.owner.accept = *accept;
  } else {
    return false;
  }
  return true;
}

void apply(NodeConfig& config, const Setting& setting) {
  if (set_word(config, setting)) return;
  const auto* key =
      std::find_if(std::begin(kKeys), std::end(kKeys), [&](const Key& k) { return setting.key == k.name; });
  if (key == std::end(kKeys)) refuse(config, setting, "no key of Drover's");
  if (key->same_for_all && !setting.node.empty())
    refuse(config, setting, "must be the same for all nodes: in [balance]");
  char* end = nullptr;
  const double number = std::strtod(setting.value.c_str(), &end);
  if (setting.value.empty() || *end != '\0' || !(number >= key->least && number <= key->most))
    refuse(config, setting, fmt::format("{} to {} is permitted", key->least, key->most));
  key->set(config, number);
}

// Those of all [balance] and [node.NAME.balance] tables of the file.
std::vector<Setting> read_settings(const NodeConfig& config) {
  std::istringstream text(config.text);
  std::vector<Setting> settings;
  for (const auto& item : CLI::ConfigTOML().from_config(text)) {
    if (item.parents.empty() || item.name == "++" || item.name == "--") continue;  // CLI11's marks of a table's ends
    const bool of_node = item.parents[0] == "node";
    if (!of_node && item.parents[0] != "balance") continue;
    if (of_node ? item.parents.size() != 3 || item.parents[2] != "balance" : item.parents.size() != 1)
      throw std::runtime_error(fmt::format("{}: {}: no such table; there are [balance] and [node.NAME.balance]",
                                           config.path, item.fullname()));
    settings.push_back({of_node ? item.parents[1] : "", item.name, item.inputs.empty() ? "" : item.inputs[0]});
  }
  return settings;
}

}  // namespace

NodeConfig load_config() {
  NodeConfig config;
  config.path = config_path();
  if (config.path.empty()) return config;
  std::ifstream file(config.path);
  std::ostringstream text;
  text << file.rdbuf();
  return parse_config(text.str(), config.path);
}

NodeConfig parse_config(const std::string& text, const std::string& path) {
  NodeConfig config;
  config.text = text;
  config.path = path;
  NodeConfig others = config;  // every node refuses what is wrong for any
  for (const Setting& setting : read_settings(config)) apply(setting.node.empty() ? config : others, setting);
  return config;
}

NodeConfig config_of(const NodeConfig& all, const std::string& node) {
  NodeConfig config = all;
  for (const Setting& setting : read_settings(all))
    if (setting.node == node) apply(config, setting);
  return config;
}

}  // namespace drover
