#include "ckpt/sys/aio_ring.h"

#include <algorithm>

#include "ckpt/sys/text.h"

namespace drover {

static constexpr std::uint64_t kPage = 4096;
static constexpr std::uint32_t kSlotsPerPage = kPage / kAioEventBytes;
static constexpr std::uint32_t kMagic = 0xa10a10a1;

// ioctx_alloc(): at least four requests for every processor, and twice that, since up to half of them may be set aside
// for other processors. aio_setup_ring(): "1 is required, 2 for good luck", and then all that the pages hold.
static std::uint64_t pages_of(std::uint64_t argument, std::uint32_t possible_cpus) {
  const std::uint64_t events = std::max<std::uint64_t>(argument, possible_cpus * std::uint64_t{4}) * 2 + 2;
  return (sizeof(AioRing) + events * kAioEventBytes + kPage - 1) / kPage;
}

bool can_be_aio_slots(std::uint32_t slots) {
  return slots > 0 && slots <= kMostAioSlots && (slots + 1) % kSlotsPerPage == 0;
}

bool is_sound(const AioRing& ring, std::uint64_t area_bytes) {
  return ring.magic == kMagic && ring.header_bytes == sizeof(AioRing) && ring.incompatible_features == 0 &&
         can_be_aio_slots(ring.slots) && aio_ring_bytes(ring.slots) == area_bytes && ring.head < ring.slots &&
         ring.tail < ring.slots;
}

std::optional<std::uint32_t> aio_setup_argument(std::uint32_t slots, std::uint32_t possible_cpus) {
  if (!can_be_aio_slots(slots)) return std::nullopt;
  const std::uint32_t pages = (slots + 1) / kSlotsPerPage;
  std::uint32_t argument = pages == 1 ? 1 : (pages - 1) * (kSlotsPerPage / 2) - 1;
  while (pages_of(argument, 0) < pages) ++argument;
  if (pages_of(argument, possible_cpus) != pages) return std::nullopt;
  return argument;
}

std::uint32_t count_cpus(std::string_view list) {
  std::uint32_t count = 0;
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    const std::string_view range = list.substr(0, comma);
    const auto dash = range.find('-');
    const auto first = to_number(range.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : to_number(range.substr(dash + 1));
    if (!first || !last || *last < *first || *last > 1 << 20) return 0;
    count += static_cast<std::uint32_t>(*last - *first + 1);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return count;
}

std::uint32_t count_possible_cpus() {
  const auto text = try_read_text("/sys/devices/system/cpu/possible");
  std::string_view line, rest = text ? std::string_view(*text) : std::string_view();
  return next_line(rest, line) ? count_cpus(line) : 0;
}

static std::optional<std::uint64_t> read_number(const char* path) {
  const auto text = try_read_text(path);
  std::string_view line, rest = text ? std::string_view(*text) : std::string_view();
  return next_line(rest, line) ? to_number(line) : std::nullopt;
}

std::optional<std::uint64_t> read_free_aio_requests() {
  const auto most = read_number("/proc/sys/fs/aio-max-nr"), used = read_number("/proc/sys/fs/aio-nr");
  if (!most || !used) return std::nullopt;
  return *most > *used ? *most - *used : 0;
}

}  // namespace drover
