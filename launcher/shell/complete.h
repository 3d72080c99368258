// What the word before the cursor may become: a command, a file, a variable.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::shell {

// What there is besides files; all of them, in any order.
struct Completions {
  std::function<std::vector<std::string>()> commands;  // that have no '/' in their names
  std::function<std::vector<std::string>()> variables;
  std::string home;  // what ~ stands for
};

struct Completion {
  std::string insert;                 // at the cursor, quoted as what is there; empty: nothing is certain
  std::vector<std::string> possible;  // if there are several: the last parts of their names, sorted
};

// `line`: up to the cursor. Directories end with a '/', and whatever else is complete with a blank.
Completion complete(std::string_view line, const Completions& known);

// The programs of `path` (as in PATH), each once; in no order.
std::vector<std::string> programs_of(std::string_view path);

// In columns, for a terminal of that width; too many are only counted.
std::string list_possible(const std::vector<std::string>& possible, std::size_t width);

}  // namespace drover::shell
