// Where drover's own words end and the program's begin: `drover run --name x -- ls -l --name y`.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>
#include <vector>

namespace drover {

struct CommandLine {
  std::vector<std::string> ours;     // for the parser
  std::vector<std::string> program;  // not to be looked at by anybody here
};

// For `run`, `submit` and `shell` the program's command line begins after the first "--" or at the first word that is
// neither an option nor an option's value, as with env(1) and nice(1); for other commands everything is ours. `app`
// knows which options take values.
CommandLine split_command_line(CLI::App& app, const std::vector<std::string>& words);

}  // namespace drover
