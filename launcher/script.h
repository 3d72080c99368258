// A job's script: where `drover submit` gets it from, and the options that it holds itself.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace drover {

struct Directive {
  int line = 0;  // from 1
  std::vector<std::string> words;
};

// All of standard input. Throws UsageError if that is larger than a script may be.
std::string read_script();

// The `#DROVER` lines before the first command, in order. Throws UsageError for what is no script: no interpreter,
// lines that end as on Windows, a byte of zero.
std::vector<Directive> script_directives(const std::string& script);

// For the spec (PROTOCOL.md).
nlohmann::json script_to_json(const std::string& script);

// "standard input, line 3: what", for an error in a directive.
std::string at_line(int line, const std::string& what);

}  // namespace drover
