// What `submit` and `run` have in common: their options, and the spec that they send (runtime/control/PROTOCOL.md).
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace drover {

struct JobOptions {
  std::string name, cwd, node, time_limit, checkpoint_every;
  std::vector<std::string> exclude, after;
  int cpus = 1, priority = 0, retries = 0;
  std::uint64_t memory_bytes = 0;
  std::vector<std::string> env;
  std::vector<std::string> program_for_help;  // stays empty: split_command_line() takes the words before
  bool pin = false, no_namespace = false;

  void add_to(CLI::App& command);
  // The spec for `argv`, with this process's environment, working directory, umask and limits. Throws UsageError.
  nlohmann::json spec(const std::vector<std::string>& argv) const;
};

// `path` made absolute; "" stays "".
std::string absolute_path(const std::string& path);
// The same of a pattern of runtime/control/path_pattern.h for a job of that name. Throws UsageError if it is none.
// `task`: of an array, which has %a, too.
std::string absolute_pattern(const std::string& option, const std::string& pattern, const std::string& job_name,
                             bool task = false);

}  // namespace drover
