#include "runtime/control/path_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace drover {

namespace {

constexpr std::string_view kPatterns =
    "%j (the job's id), %n (its name), %a (the index of an array's task) and %% (a percent sign)";

std::string file_name(std::string_view job_name) {
  std::string name(job_name);
  std::replace(name.begin(), name.end(), '/', '_');
  if (name == "." || name == "..") std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

}  // namespace

std::string expand_path_pattern(std::string_view pattern, const PatternValues& values) {
  std::string path;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      path += pattern[i];
      continue;
    }
    const char letter = ++i < pattern.size() ? pattern[i] : '\0';
    if (letter == 'j')
      path += std::to_string(values.job);
    else if (letter == 'n')
      path += file_name(values.name);
    else if (letter == '%')
      path += '%';
    else if (letter == 'a' && values.array_index)
      path += std::to_string(*values.array_index);
    else if (letter == 'a')
      throw std::invalid_argument(
          fmt::format("{}: %a is the index of an array's task, and this job is none; use %j, the job's id", pattern));
    else
      throw std::invalid_argument(fmt::format("{}: '{}' is no pattern; there are {}", pattern,
                                              pattern.substr(i - 1, letter == '\0' ? 1 : 2), kPatterns));
  }
  return path;
}

std::string escape_path_pattern(std::string_view path) {
  std::string pattern;
  for (const char c : path) pattern.append(c == '%' ? 2 : 1, c);
  return pattern;
}

}  // namespace drover
