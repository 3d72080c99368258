// drover config: what droverd would read here, and where each value is from. Needs no cluster.
#include "runtime/config/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#include "launcher/commands/commands.h"
#include "launcher/table.h"
#include "runtime/load/calibration/marks.h"
#include "runtime/load/cgroup.h"
#include "runtime/load/topology.h"

namespace drover {

namespace {

struct ConfigOptions {
  bool path = false;
  std::string node, file;
  Output output;
};

struct Row {
  std::string key, value, from;
};

// Of a droverd that has this machine to itself.
double capacity_here() {
  const Topology topology = Topology::load();
  const Share share = deal(topology.core_pus(), topology.allowed(), 0, 1);
  return std::min(share.capacity, cpu_quota().value_or(share.capacity));
}

bool is_in(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

void add_balance(std::vector<Row>& rows, const NodeConfig& config, const std::string& node) {
  const std::vector<std::string> keys = keys_of_file(config);
  for (const ConfigValue& value : list_values(config)) {
    const bool from_file = is_in(keys, value.key) || (!node.empty() && is_in(keys, "node." + node + "." + value.key));
    rows.push_back({value.key, value.value, from_file ? "file " + config.path : "default"});
  }
}

void add_watermarks(std::vector<Row>& rows, const NodeConfig& config) {
  std::string warning;
  const double capacity = capacity_here();
  const auto calibration = calibration_of_this_host(warning);
  const NodeMarks marks = choose_marks(capacity, false, calibration, config.text, config.path);
  const auto unused = marks.warning.empty() ? calibration : std::nullopt;
  const NodeMarks before = choose_marks(capacity, false, unused, "", "");  // what the file's keys replace
  const std::vector<std::string> keys = keys_of_file(config);
  for (std::size_t i = 0; i < kFactors; ++i) {
    const Watermark& mark = marks.marks.factors[i];
    const std::pair<const char*, double> figures[] = {{"low", mark.low}, {"high", mark.high}, {"weight", mark.weight}};
    for (const auto& [name, figure] : figures) {
      const std::string key = fmt::format("watermarks.{}.{}", factor_name(static_cast<Factor>(i)), name);
      rows.push_back({key, fmt::format("{:g}", figure), is_in(keys, key) ? "file " + config.path : before.from[i]});
    }
  }
  for (const std::string& text : {warning, marks.warning})
    if (!text.empty()) fmt::print(stderr, "drover: warning: {}\n", text);
}

void add_environment(std::vector<Row>& rows) {
  const InstancePaths paths = instance_paths();
  const auto split = [](const std::string& path) { return path.rfind('/'); };
  const std::pair<const char*, std::string> values[] = {
      {"DROVER_INSTANCE", paths.runtime.substr(split(paths.runtime) + 1)},
      {"DROVER_RUNTIME_DIR", paths.runtime.substr(0, split(paths.runtime))},
      {"DROVER_STATE_DIR", paths.state.substr(0, split(paths.state))}};
  for (const auto& [name, value] : values) {
    const char* given = std::getenv(name);
    rows.push_back({name, value, given != nullptr && *given != '\0' ? "environment" : "default"});
  }
}

void print_config(const ConfigOptions& options) {
  NodeConfig config;
  std::vector<Row> rows;
  try {
    config = config_of(load_config(), options.node);
    add_balance(rows, config, options.node);
    add_watermarks(rows, config);
    add_environment(rows);
  } catch (const std::runtime_error& error) {
    throw UsageError(error.what());
  }
  if (options.output.json()) {
    Json values = Json::array();
    for (const Row& row : rows) {
      const Json value = Json::parse(row.value, nullptr, false);  // a number or a truth value, or it is text
      values.push_back(
          {{"key", row.key}, {"value", value.is_discarded() ? Json(row.value) : value}, {"from", row.from}});
    }
    return Output::print_json({{"file", config.path}, {"values", values}});
  }
  if (options.output.quiet()) {
    for (const Row& row : rows)
      if (row.from != "default") fmt::print("{}\n", row.key);
    return;
  }
  Table table({{"KEY"}, {"VALUE"}, {"FROM"}});
  for (const Row& row : rows) table.add({row.key, row.value, row.from});
  table.print();
}

std::string path_of_config() {
  std::string path;
  try {
    path = config_path();
  } catch (const std::runtime_error& error) {
    throw UsageError(error.what());
  }
  if (path.empty())
    throw std::runtime_error(fmt::format(
        "{}: no such file, so the defaults hold; write one there, or set DROVER_CONFIG", default_config_path()));
  return path;
}

// What is wrong with the text; empty if nothing is. droverd leaves tables that it doesn't know to others; here they are
// taken for mistyped.
std::string error_of(const std::string& text, const std::string& path, double capacity) {
  try {
    const NodeConfig config = parse_config(text, path);
    choose_marks(capacity, false, std::nullopt, text, path);
    for (const std::string& key : keys_of_file(config)) {
      const std::string table = key.substr(0, key.find('.'));
      if (key.find('.') != std::string::npos &&
          (table == "balance" || table == "jobs" || table == "node" || table == "watermarks"))
        continue;
      return fmt::format(
          "{}: {}: in no table of Drover's; they are [balance], [jobs], [node.NAME.balance], [node.NAME.jobs] and "
          "[watermarks.FACTOR]",
          path, key);
    }
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

// The parser knows no lines: the one that is to blame is the first with which the text has the same error.
std::string with_line(const std::string& error, const std::string& text, const std::string& path, double capacity) {
  if (error.compare(0, path.size(), path) != 0) return error;
  std::size_t line = 1, end = text.find('\n');
  for (; end != std::string::npos; end = text.find('\n', end + 1), ++line)
    if (error_of(text.substr(0, end + 1), path, capacity) == error) break;
  return fmt::format("{}:{}{}", path, line, error.substr(path.size()));
}

void check_config(const std::string& given) {
  const std::string path = given.empty() ? path_of_config() : given;
  const double capacity = capacity_here();
  std::string text;
  try {
    text = read_config_text(path);
  } catch (const std::runtime_error& error) {
    throw UsageError(error.what());
  }
  const std::string error = error_of(text, path, capacity);
  if (!error.empty()) throw UsageError(with_line(error, text, path, capacity));
  const std::size_t keys = keys_of_file(parse_config(text, path)).size();
  fmt::print("{}: sound, {} key{}\n", path, keys, keys == 1 ? "" : "s");
}

}  // namespace

void add_config(CLI::App& app, Context&) {
  auto options = std::make_shared<ConfigOptions>();
  CLI::App* command = app.add_subcommand("config", "Print the configuration of droverd, and where each value is from");
  command->require_subcommand(0, 1);
  auto* path = command->add_flag("--path", options->path, "Print which file is read");
  command->add_option("--node", options->node, "As it holds for this node")->type_name("NODE")->excludes(path);
  options->output.add_to(*command);
  CLI::App* check = command->add_subcommand("check", "Tell what is wrong with a file, and in which line");
  check->add_option("FILE", options->file, "The file (default: the one that droverd reads)");
  check->footer("Example: drover config check ~/.config/drover/drover.toml");
  check->callback([options] { check_config(options->file); });
  command->footer(
      "The watermarks are those of a node that has this machine to itself.\n"
      "Examples: drover config;  drover config --node node2 -o json;  drover config check my.toml");
  command->callback([options, check] {
    if (*check) return;
    if (options->path) return fmt::print("{}\n", path_of_config());
    print_config(*options);
  });
}

}  // namespace drover
