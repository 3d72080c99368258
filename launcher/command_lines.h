// Files of command lines, one a job, as GNU parallel and the TACC Launcher take them.
#pragma once

#include <string>
#include <vector>

namespace drover {

struct CommandLine {
  int line = 0;  // from 1
  std::string text;
};

// The lines that are neither empty nor comments. `path` "-": standard input. Throws UsageError for what can't be read,
// has no command, or has a line that is longer than a program's argument may be.
std::vector<CommandLine> read_command_lines(const std::string& path);

}  // namespace drover
