#include "runtime/jobs/scrollback.h"

#include <algorithm>

namespace drover {

static constexpr std::size_t kKept = 64 * 1024;

static bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; }

void Scrollback::append(std::string_view output) {
  bytes_.append(output);
  if (bytes_.size() < 2 * kKept) return;
  std::size_t dropped = bytes_.size() - kKept;
  before_.see(std::string_view(bytes_).substr(0, dropped));
  while (dropped < bytes_.size() && (!before_.between_sequences() || continues_character(bytes_[dropped])))
    before_.see(std::string_view(bytes_).substr(dropped++, 1));
  bytes_.erase(0, dropped);
}

}  // namespace drover
