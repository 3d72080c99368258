#include "ckpt/sys/numa_maps.h"

#include "ckpt/sys/text.h"

namespace drover {

std::vector<std::uint64_t> parse_numa_maps(std::string_view text) {
  std::vector<std::uint64_t> starts;
  for (std::string_view line; next_line(text, line);) {
    const auto start = to_number(next_word(line), 16);
    if (start && next_word(line) != "default") starts.push_back(*start);
  }
  return starts;
}

}  // namespace drover
