#include "launcher/shell_words.h"

#include <optional>
#include <stdexcept>
#include <utility>

namespace drover {

std::vector<std::string> split_shell_words(std::string_view line) {
  std::vector<std::string> words;
  std::optional<std::string> word;  // an empty one is there when it was quoted
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool last = i + 1 == line.size();
    if (quote == '\0' && (c == ' ' || c == '\t')) {
      if (word) words.push_back(*std::exchange(word, std::nullopt));
      continue;
    }
    if (quote == '\0' && c == '#' && !word) break;
    if (!word) word.emplace();
    if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = '\0';
    } else if (c == '\\' && quote != '\'') {
      if (last) throw std::invalid_argument("a backslash at the end: a directive ends with its line");
      // In double quotes a backslash is one unless it takes the meaning of what follows.
      const char next = line[i + 1];
      if (quote == '"' && next != '"' && next != '\\' && next != '$' && next != '`') *word += c;
      *word += next;
      ++i;
    } else {
      *word += c;
    }
  }
  if (quote != '\0') throw std::invalid_argument("a quote that is not closed");
  if (word) words.push_back(*word);
  return words;
}

}  // namespace drover
