// Where the parts of a word end: quotes, $... and backquotes may hold anything, blanks and operators too.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace drover::shell {

// What was typed is no command.
class SyntaxError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// It ends in the middle: more lines may make it one.
class Incomplete : public SyntaxError {
 public:
  using SyntaxError::SyntaxError;
};

bool is_name_start(char c);
bool is_name_character(char c);
bool is_name(std::string_view text);
// The name of "NAME=..."; empty if it is none.
std::string_view assignment_name(std::string_view word);

// Each takes where a part begins and gives the index after its end. Throws Incomplete.
std::size_t end_of_single_quotes(std::string_view text, std::size_t at);
std::size_t end_of_double_quotes(std::string_view text, std::size_t at);
std::size_t end_of_backquotes(std::string_view text, std::size_t at);
// $NAME, $1, $?, ${...}, $(...), $((...)); a '$' before anything else ends after itself.
std::size_t end_of_dollar(std::string_view text, std::size_t at);
// Whichever of these begins at `at`, a backslash with its character, or one character.
std::size_t end_of_part(std::string_view text, std::size_t at);

}  // namespace drover::shell
