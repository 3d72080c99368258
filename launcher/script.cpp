#include "launcher/script.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <stdexcept>
#include <string_view>

#include "ckpt/sys/error.h"
#include "launcher/commands/commands.h"
#include "launcher/shell_words.h"
#include "runtime/control/client_message.h"

namespace drover {

namespace {

constexpr std::string_view kPrefix = "#DROVER";

void check_first_line(std::string_view line) {
  if (line.substr(0, 2) != "#!")
    throw UsageError(
        "standard input: no script: the first line must be #! and the path of an interpreter, such as #!/bin/sh");
  line.remove_prefix(2);
  const bool windows = !line.empty() && line.back() == '\r';
  const auto begin = line.find_first_not_of(" \t\r");
  const std::string_view interpreter = begin == std::string_view::npos ? "" : line.substr(begin);
  if (interpreter.empty() || interpreter[0] != '/')
    throw UsageError(fmt::format(
        "standard input, line 1: '#!{}' names no interpreter by its full path; write #!/bin/sh, or #!/usr/bin/env NAME",
        line.substr(0, line.size() - (windows ? 1 : 0))));
  if (windows)
    throw UsageError(
        "standard input, line 1: ends in CR LF as lines on Windows do, which the kernel takes for a part of the "
        "interpreter's name; remove them: tr -d '\\r'");
}

}  // namespace

std::string at_line(int line, const std::string& what) {
  return fmt::format("standard input, line {}: {}: {}", line, kPrefix, what);
}

Json script_to_json(const std::string& script) {
  try {
    // Control characters take six bytes each: a script of many would not fit into a frame.
    if (Json(script).dump().size() <= 2 * script.size()) return script;
  } catch (const Json::type_error&) {  // not UTF-8
  }
  std::string hex;
  for (const char byte : script) fmt::format_to(std::back_inserter(hex), "{:02x}", static_cast<unsigned char>(byte));
  return {{"hex", hex}};
}

std::string read_script() {
  std::string script;
  char bytes[65536];
  for (ssize_t n = 0; (n = ::read(STDIN_FILENO, bytes, sizeof bytes)) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    script.append(bytes, static_cast<std::size_t>(check(n, "read", "standard input")));
    if (script.size() > kMaxScriptBytes)
      throw UsageError(
          fmt::format("standard input: a script may have {} MiB; what it needs beyond belongs into files that it reads",
                      kMaxScriptBytes >> 20));
  }
  return script;
}

std::vector<Directive> script_directives(const std::string& script) {
  std::vector<Directive> directives;
  int number = 0;
  check_first_line(std::string_view(script).substr(0, script.find('\n')));
  for (std::string_view rest = script; !rest.empty();) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (line[line.find_first_not_of(" \t")] != '#') break;  // the first command
    const std::string_view after = line.substr(std::min(line.size(), kPrefix.size()));
    if (line.substr(0, kPrefix.size()) != kPrefix || (!after.empty() && after[0] != ' ' && after[0] != '\t')) continue;
    if (line.back() == '\r') throw UsageError(at_line(number, "ends in CR LF as lines on Windows do; tr -d '\\r'"));
    try {
      directives.push_back({number, split_shell_words(after)});
    } catch (const std::invalid_argument& error) {
      throw UsageError(at_line(number, error.what()));
    }
  }
  if (script.find('\0') != std::string::npos)
    throw UsageError("standard input: no script: it holds a byte of zero; a program is submitted by its path");
  return directives;
}

}  // namespace drover
