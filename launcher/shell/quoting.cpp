#include "launcher/shell/quoting.h"

#include <cctype>
#include <cstring>

namespace drover::shell {

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool is_name_character(char c) { return is_name_start(c) || std::isdigit(static_cast<unsigned char>(c)) != 0; }

bool is_name(std::string_view text) {
  if (text.empty() || !is_name_start(text[0])) return false;
  for (const char c : text)
    if (!is_name_character(c)) return false;
  return true;
}

std::string_view assignment_name(std::string_view word) {
  const auto equals = word.find('=');
  if (equals == std::string_view::npos || !is_name(word.substr(0, equals))) return {};
  return word.substr(0, equals);
}

std::size_t end_of_single_quotes(std::string_view text, std::size_t at) {
  const auto end = text.find('\'', at + 1);
  if (end == std::string_view::npos) throw Incomplete("a ' that is not closed");
  return end + 1;
}

std::size_t end_of_double_quotes(std::string_view text, std::size_t at) {
  for (std::size_t i = at + 1; i < text.size();) {
    if (text[i] == '"') return i + 1;
    if (text[i] == '\'')
      ++i;  // means nothing here
    else
      i = end_of_part(text, i);
  }
  throw Incomplete("a \" that is not closed");
}

std::size_t end_of_backquotes(std::string_view text, std::size_t at) {
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '`') return i + 1;
    if (text[i] == '\\') ++i;
  }
  throw Incomplete("a ` that is not closed");
}

// From after the opening one to after the one that closes it.
static std::size_t end_of_brackets(std::string_view text, std::size_t at, char open, char close) {
  int depth = 1;
  for (std::size_t i = at; i < text.size();) {
    if (text[i] == close && --depth == 0) return i + 1;
    if (text[i] == open) ++depth;
    if (open == '(' && text[i] == '#' && std::strchr(" \t\n;(", text[i - 1]) != nullptr) {
      i = std::min(text.find('\n', i), text.size());  // a comment may hold half a quote
      continue;
    }
    i = end_of_part(text, i);
  }
  throw Incomplete(open == '(' ? "a $( that is not closed" : "a ${ that is not closed");
}

std::size_t end_of_dollar(std::string_view text, std::size_t at) {
  const std::size_t next = at + 1;
  if (next >= text.size()) return next;
  if (text[next] == '(') return end_of_brackets(text, next + 1, '(', ')');
  if (text[next] == '{') return end_of_brackets(text, next + 1, '{', '}');
  if (is_name_start(text[next])) {
    std::size_t end = next;
    while (end < text.size() && is_name_character(text[end])) ++end;
    return end;
  }
  return std::strchr("0123456789?$!#@*-", text[next]) != nullptr ? next + 1 : next;
}

std::size_t end_of_part(std::string_view text, std::size_t at) {
  switch (text[at]) {
    case '\'':
      return end_of_single_quotes(text, at);
    case '"':
      return end_of_double_quotes(text, at);
    case '`':
      return end_of_backquotes(text, at);
    case '$':
      return end_of_dollar(text, at);
    case '\\':
      if (at + 1 == text.size()) throw Incomplete("a \\ at the end");
      return at + 2;
    default:
      return at + 1;
  }
}

}  // namespace drover::shell
