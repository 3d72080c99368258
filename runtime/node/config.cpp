#include "runtime/node/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

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

struct Key {
  const char* name;
  double least, most;
  std::function<void(double)> set;
};

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

// Keys whose values are words; false if `name` is none of them.
bool set_word(const std::string& name, const std::string& value, NodeConfig& config) {
  const auto refuse = [&](const std::string& permitted) {
    throw std::runtime_error(fmt::format("{}: balance.{} = {}: {} is permitted", config.path, name, value, permitted));
  };
  if (name == "migrate") {
    if (!truth(value, config.policy.migrate)) refuse("true or false");
  } else if (name == "policy") {
    const auto policy = find_policy(value);
    if (!policy) refuse("one of " + policy_names());
    config.policy.policy = *policy;
  } else if (name == "accept") {
    const auto accept = find_accept(value);
    if (!accept) refuse("always, when-free or never");
    config.owner.accept = *accept;
  } else {
    return false;
  }
  return true;
}

}  // namespace

NodeConfig load_config() {
  NodeConfig config;
  config.path = config_path();
  if (config.path.empty()) return config;
  std::ifstream file(config.path);
  std::ostringstream text;
  text << file.rdbuf();
  config.watermarks_text = text.str();

  const Key keys[] = {
      {"round_seconds", 0.05, 60,
       [&](double v) {
         config.times.period = seconds(v);
         config.times.deadline = seconds(v / 2);
         config.times.stale_after = seconds(3 * v);
       }},
      {"suspect_seconds", 0.5, 3600, [&](double v) { config.suspect_after = seconds(v); }},
      {"answer_seconds", 1, 3600, [&](double v) { config.answer_deadline = seconds(v); }},
      {"probe_limit", 0, 64, [&](double v) { config.policy.probe_limit = static_cast<int>(v); }},
      {"choices", 1, 1024, [&](double v) { config.policy.choices = static_cast<int>(v); }},
      {"safety", 0, 1000, [&](double v) { config.policy.rule.safety = v; }},
      {"min_residence_seconds", 0, 86400, [&](double v) { config.policy.rule.min_residence_seconds = v; }},
      {"two_level_above", 2, 1e6, [&](double v) { config.two_level_above = static_cast<int>(v); }},
      {"foreign_load", 0, 1000, [&](double v) { config.owner.foreign_load = v; }},
  };
  std::istringstream again(config.watermarks_text);
  for (const auto& item : CLI::ConfigTOML().from_config(again)) {
    if (item.parents.empty() || item.parents[0] != "balance" || item.name == "++" || item.name == "--") continue;
    const std::string value = item.inputs.empty() ? "" : item.inputs[0];
    if (set_word(item.name, value, config)) continue;
    const auto* key = std::find_if(std::begin(keys), std::end(keys), [&](const Key& k) { return item.name == k.name; });
    if (key == std::end(keys))
      throw std::runtime_error(fmt::format("{}: balance.{} is no key of Drover's", config.path, item.name));
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !(number >= key->least && number <= key->most))
      throw std::runtime_error(fmt::format("{}: balance.{} = {}: {} to {} is permitted", config.path, item.name, value,
                                           key->least, key->most));
    key->set(number);
  }
  return config;
}

}  // namespace drover
