// What becomes of a word before a command gets it: ~, $NAME, $(...), $((...)), quotes, then fields, then file names
// (POSIX.1-2017, XCU 2.6).
//
// The hard part is that the kinds meet in one word: of a"$b"*$c only $c is split, and only the * is a pattern. So each
// field is collected twice: as it is, and as a pattern in which everything quoted is escaped.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/shell/quoting.h"

namespace drover::shell {

// What an expansion can ask for.
class Environment {
 public:
  virtual ~Environment() = default;
  virtual std::optional<std::string> value(const std::string& name) const = 0;
  virtual void assign(const std::string& name, const std::string& value) = 0;
  virtual const std::vector<std::string>& parameters() const = 0;   // $1 is the first
  virtual std::optional<std::string> special(char name) const = 0;  // of ? $ ! 0 -
  virtual std::string output_of(const std::string& script) = 0;     // of $(script), as it was written
};

// ${NAME:?why}, a division by zero: the command is not run.
class ExpansionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// All of them throw SyntaxError and ExpansionError.
std::vector<std::string> expand_words(const std::vector<std::string>& words, Environment& environment);
// Into one field, whatever it holds: for assignments, redirections, the word of a case.
std::string expand_string(std::string_view word, Environment& environment);
// The same, to be matched with fnmatch(3): what was quoted is escaped.
std::string expand_pattern(std::string_view word, Environment& environment);
std::string expand_document(std::string_view text, Environment& environment);

// What stands within $((...)), already expanded. Integers of 64 bits, as in C.
long evaluate(std::string_view expression, Environment& environment);

}  // namespace drover::shell
