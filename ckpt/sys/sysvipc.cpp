#include "ckpt/sys/sysvipc.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "ckpt/sys/text.h"

namespace drover {

static std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (auto word = next_word(line); !word.empty(); word = next_word(line)) words.push_back(word);
  return words;
}

std::vector<SysvEntry> parse_sysvipc(std::string_view text) {
  std::string_view line;
  if (!next_line(text, line)) return {};
  const auto names = words_of(line);
  const auto swap = static_cast<std::size_t>(std::find(names.begin(), names.end(), "swap") - names.begin());
  std::vector<SysvEntry> entries;
  while (next_line(text, line)) {
    const auto words = words_of(line);
    const auto key = words.size() < 2 ? std::nullopt : to_signed(words[0]);
    const auto id = words.size() < 2 ? std::nullopt : to_signed(words[1]);
    if (!key || !id) throw std::invalid_argument("not a line of /proc/sysvipc: " + std::string(line));
    entries.push_back({static_cast<std::int32_t>(*key), static_cast<std::int32_t>(*id),
                       swap < words.size() ? to_number(words[swap]).value_or(0) : 0});
  }
  return entries;
}

}  // namespace drover
