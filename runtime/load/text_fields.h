// Splitting the kernel's text files into lines and numbers without copying.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace drover {

// Takes the next line off `text`; empty at its end.
inline std::optional<std::string_view> take_line(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const auto newline = text.find('\n');
  const std::string_view line = text.substr(0, newline);
  text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
  return line;
}

// Takes the next word (no blanks) off `line`; empty at its end.
inline std::string_view take_word(std::string_view& line) {
  const auto begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    line = {};
    return {};
  }
  line.remove_prefix(begin);
  const auto end = line.find_first_of(" \t");
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(word.size());
  return word;
}

// A number; `fallback` where the word is not one, as in files of other kernels. A count above 2^64 is the kernel's bug,
// not ours.
template <class T = std::uint64_t>
T number(std::string_view word, T fallback = 0) {
  T value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc{} ? value : fallback;
}

template <class T = std::uint64_t>
T take_number(std::string_view& line) {
  return number<T>(take_word(line));
}

}  // namespace drover
