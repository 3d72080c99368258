// A script's text as tokens. Words stay as they were typed: their quotes are taken off when they are expanded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/shell/quoting.h"

namespace drover::shell {

struct Token {
  enum class Kind { Word, Operator, Newline, End };
  Kind kind = Kind::End;
  std::string text;       // of an operator: "|", "&&", ">>", "&>", ...
  int fd = -1;            // of a redirection that was written with one: 2>
  std::size_t begin = 0;  // in the script
  std::size_t end = 0;
  std::string body = {};                  // of << and <<-: the here-document
  bool body_is_plain = false;             // its delimiter was quoted: nothing in it is expanded
  std::vector<std::string> aliases = {};  // that it came from, which are not expanded in it again
  bool next_too = false;                  // the end of an alias with a blank: the next word may be one, too

  bool is(std::string_view op) const { return kind == Kind::Operator && text == op; }
};

bool is_redirection(const Token& token);

// The last token is End. Throws SyntaxError, and Incomplete if more text is needed.
std::vector<Token> tokenize(std::string_view script);

}  // namespace drover::shell
