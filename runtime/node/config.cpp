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
      {"probe_limit", 0, 64, [&](double v) { config.probe_limit = static_cast<int>(v); }},
      {"safety", 0, 1000, [&](double v) { config.migration.safety = v; }},
      {"min_residence_seconds", 0, 86400, [&](double v) { config.migration.min_residence_seconds = v; }},
  };
  std::istringstream again(config.watermarks_text);
  for (const auto& item : CLI::ConfigTOML().from_config(again)) {
    if (item.parents.empty() || item.parents[0] != "balance" || item.name == "++" || item.name == "--") continue;
    const std::string value = item.inputs.empty() ? "" : item.inputs[0];
    if (item.name == "pull") {
      if (!truth(value, config.pull))
        throw std::runtime_error(fmt::format("{}: balance.pull = {}: true or false is permitted", config.path, value));
      continue;
    }
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
