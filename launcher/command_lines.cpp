#include "launcher/command_lines.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "launcher/commands/commands.h"

namespace drover {

static constexpr std::size_t kMostBytes = 131071;  // MAX_ARG_STRLEN without its zero (execve(2))

std::vector<CommandLine> read_command_lines(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path);
    if (!file) throw UsageError(fmt::format("--lines {}: {}", path, std::strerror(errno)));
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::vector<CommandLine> lines;
  std::string text;
  for (int line = 1; std::getline(in, text); ++line) {
    if (!text.empty() && text.back() == '\r') text.pop_back();
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string::npos || text[first] == '#') continue;
    if (text.size() > kMostBytes || text.find('\0') != std::string::npos)
      throw UsageError(fmt::format("--lines {}: line {} is no command line: it has {} bytes, or a zero among them",
                                   path, line, text.size()));
    lines.push_back({line, text});
  }
  if (in.bad()) throw UsageError(fmt::format("--lines {}: {}", path, std::strerror(errno)));
  if (lines.empty()) throw UsageError(fmt::format("--lines {}: there is no command in it", path));
  return lines;
}

}  // namespace drover
