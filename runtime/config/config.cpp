#include "runtime/config/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace drover {

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Nanoseconds seconds(double value) { return Nanoseconds(static_cast<std::int64_t>(value * 1e9)); }

double in_seconds(Nanoseconds value) { return static_cast<double>(value.count()) / 1e9; }

std::string policy_names() {
  std::string names;
  for (const Policy& policy : all_policies()) names += fmt::format("{}{}", names.empty() ? "" : ", ", policy.name);
  return names;
}

// One key and value of a table of Drover's, of all nodes or of one.
struct Setting {
  std::string node;  // empty: of all
  std::string table, key, value;
};

[[noreturn]] void refuse(const NodeConfig& config, const Setting& setting, const std::string& why) {
  const std::string table = setting.node.empty() ? "" : "node." + setting.node + ".";
  throw std::runtime_error(
      fmt::format("{}: {}{}.{} = {}: {}", config.path, table, setting.table, setting.key, setting.value, why));
}

struct Key {
  const char* table;
  const char* name;
  double least, most;
  bool same_for_all;  // nodes that differ in it would wait for each other
  void (*set)(NodeConfig&, double);
  double (*get)(const NodeConfig&);
};

constexpr Key kKeys[] = {
    {"balance", "round_seconds", 0.05, 60, true,
     [](NodeConfig& config, double v) {
       config.times.period = seconds(v);
       config.times.deadline = seconds(v / 2);
       config.times.stale_after = seconds(3 * v);
     },
     [](const NodeConfig& config) { return in_seconds(config.times.period); }},
    {"balance", "suspect_seconds", 0.5, 3600, true,
     [](NodeConfig& config, double v) { config.suspect_after = seconds(v); },
     [](const NodeConfig& config) { return in_seconds(config.suspect_after); }},
    {"balance", "answer_seconds", 1, 3600, true,
     [](NodeConfig& config, double v) { config.answer_deadline = seconds(v); },
     [](const NodeConfig& config) { return in_seconds(config.answer_deadline); }},
    {"balance", "lost_seconds", 1, 1e6, false, [](NodeConfig& config, double v) { config.lost_after = seconds(v); },
     [](const NodeConfig& config) { return in_seconds(config.lost_after); }},
    {"balance", "probe_limit", 0, 64, false,
     [](NodeConfig& config, double v) { config.policy.probe_limit = static_cast<int>(v); },
     [](const NodeConfig& config) -> double { return config.policy.probe_limit; }},
    {"balance", "choices", 1, 1024, false,
     [](NodeConfig& config, double v) { config.policy.choices = static_cast<int>(v); },
     [](const NodeConfig& config) -> double { return config.policy.choices; }},
    {"balance", "safety", 0, 1000, false, [](NodeConfig& config, double v) { config.policy.rule.safety = v; },
     [](const NodeConfig& config) { return config.policy.rule.safety; }},
    {"balance", "min_residence_seconds", 0, 86400, false,
     [](NodeConfig& config, double v) { config.policy.rule.min_residence_seconds = v; },
     [](const NodeConfig& config) { return config.policy.rule.min_residence_seconds; }},
    {"balance", "jobs_per_pu", 0, 10000, false, [](NodeConfig& config, double v) { config.jobs_per_pu = v; },
     [](const NodeConfig& config) { return config.jobs_per_pu; }},
    {"balance", "two_level_above", 2, 1e6, true,
     [](NodeConfig& config, double v) { config.two_level_above = static_cast<int>(v); },
     [](const NodeConfig& config) -> double { return config.two_level_above; }},
    {"balance", "foreign_load", 0, 1000, false, [](NodeConfig& config, double v) { config.owner.foreign_load = v; },
     [](const NodeConfig& config) { return config.owner.foreign_load; }},
    {"jobs", "keep_finished", 1, 1e7, false,
     [](NodeConfig& config, double v) { config.keep_finished = static_cast<std::size_t>(v); },
     [](const NodeConfig& config) { return static_cast<double>(config.keep_finished); }},
};

// Keys whose values are words.
struct WordKey {
  const char* table;
  const char* name;
  std::string (*permitted)();
  bool (*set)(NodeConfig&, const std::string&);  // false if the word is not permitted
  std::string (*get)(const NodeConfig&);
};

constexpr WordKey kWordKeys[] = {
    {"balance", "policy", [] { return fmt::format("one of {}", policy_names()); },
     [](NodeConfig& config, const std::string& word) {
       const auto policy = find_policy(word);
       if (policy) config.policy.policy = *policy;
       return policy.has_value();
     },
     [](const NodeConfig& config) { return std::string(config.policy.policy.name); }},
    {"balance", "migrate", [] { return std::string("true or false"); },
     [](NodeConfig& config, const std::string& word) {
       const bool known = word == "true" || word == "false";
       if (known) config.policy.migrate = word == "true";
       return known;
     },
     [](const NodeConfig& config) { return std::string(config.policy.migrate ? "true" : "false"); }},
    {"balance", "accept", [] { return std::string("always, when-free or never"); },
     [](NodeConfig& config, const std::string& word) {
       const auto accept = find_accept(word);
       if (accept) config.owner.accept = *accept;
       return accept.has_value();
     },
     [](const NodeConfig& config) {
       const Accept accept = config.owner.accept;
       return std::string(accept == Accept::Always ? "always" : accept == Accept::WhenFree ? "when-free" : "never");
     }},
};

template <class Keys>
auto find_key(const Keys& keys, const Setting& setting) {
  return std::find_if(std::begin(keys), std::end(keys),
                      [&](const auto& key) { return setting.table == key.table && setting.key == key.name; });
}

bool is_table(const std::string& name) {
  return std::any_of(std::begin(kKeys), std::end(kKeys), [&](const Key& key) { return name == key.table; });
}

void apply(NodeConfig& config, const Setting& setting) {
  if (const auto* word = find_key(kWordKeys, setting); word != std::end(kWordKeys)) {
    if (!word->set(config, setting.value)) refuse(config, setting, word->permitted() + " is permitted");
    return;
  }
  const auto* key = find_key(kKeys, setting);
  if (key == std::end(kKeys)) refuse(config, setting, "no key of Drover's");
  if (key->same_for_all && !setting.node.empty())
    refuse(config, setting, "must be the same for all nodes: in [" + setting.table + "]");
  char* end = nullptr;
  const double number = std::strtod(setting.value.c_str(), &end);
  if (setting.value.empty() || *end != '\0' || !(number >= key->least && number <= key->most))
    refuse(config, setting, fmt::format("{} to {} is permitted", key->least, key->most));
  key->set(config, number);
}

// Without CLI11's marks of a table's begin and end.
std::vector<CLI::ConfigItem> read_items(const NodeConfig& config) {
  std::istringstream text(config.text);
  std::vector<CLI::ConfigItem> items = CLI::ConfigTOML().from_config(text);
  std::erase_if(items, [](const CLI::ConfigItem& item) { return item.name == "++" || item.name == "--"; });
  return items;
}

// Those of all of Drover's tables in the file but [watermarks.FACTOR].
std::vector<Setting> read_settings(const NodeConfig& config) {
  std::vector<Setting> settings;
  for (const auto& item : read_items(config)) {
    if (item.parents.empty()) continue;
    const bool of_node = item.parents[0] == "node";
    if (!of_node && !is_table(item.parents[0])) continue;
    if (of_node ? item.parents.size() != 3 || !is_table(item.parents[2]) : item.parents.size() != 1)
      throw std::runtime_error(
          fmt::format("{}: {}: no such table; there are [balance], [jobs], [node.NAME.balance] and "
                      "[node.NAME.jobs]",
                      config.path, item.fullname()));
    settings.push_back(
        {of_node ? item.parents[1] : "", item.parents.back(), item.name, item.inputs.empty() ? "" : item.inputs[0]});
  }
  return settings;
}

}  // namespace

std::string default_config_path() {
  const std::string home =
      environment("XDG_CONFIG_HOME").empty() ? environment("HOME") + "/.config" : environment("XDG_CONFIG_HOME");
  return home + "/drover/drover.toml";
}

std::string config_path() {
  if (auto path = environment("DROVER_CONFIG"); !path.empty()) {
    if (!std::ifstream(path)) throw std::runtime_error(fmt::format("DROVER_CONFIG={}: no such file", path));
    return path;
  }
  const std::string path = default_config_path();
  return std::ifstream(path) ? path : "";
}

NodeConfig load_config() {
  const std::string path = config_path();
  return path.empty() ? NodeConfig{} : parse_config(read_config_text(path), path);
}

std::string read_config_text(const std::string& path) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path))
    throw std::runtime_error(fmt::format("{}: can't be read; give a file that you may read", path));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
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

std::vector<ConfigValue> list_values(const NodeConfig& config) {
  std::vector<ConfigValue> values;
  for (const Key& key : kKeys)
    values.push_back({fmt::format("{}.{}", key.table, key.name), fmt::format("{}", key.get(config))});
  for (const WordKey& key : kWordKeys) values.push_back({fmt::format("{}.{}", key.table, key.name), key.get(config)});
  return values;
}

std::vector<std::string> keys_of_file(const NodeConfig& config) {
  std::vector<std::string> keys;
  for (const auto& item : read_items(config)) keys.push_back(item.fullname());
  return keys;
}

}  // namespace drover
