// The ring of a context of asynchronous I/O as the kernel lays it out (fs/aio.c), and which io_setup(2) makes one like
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace drover {

// struct aio_ring, which events of 32 bytes follow. `id` is an index into a table of the kernel's, and nobody else's
// business.
struct AioRing {
  std::uint32_t id, slots, head, tail, magic, compatible_features, incompatible_features, header_bytes;
};
static_assert(sizeof(AioRing) == 32);

inline constexpr std::uint64_t kAioEventBytes = 32;
// In the place of `compatible_features`, which is 1 and which nobody reads: a context that is ours as yet. What a
// killed dumper leaves is known by that.
inline constexpr std::uint32_t kAioSpare = 0x76726461, kAioInUse = 1;
inline constexpr std::uint32_t kMostAioSlots = 1 << 24;               // io_setup(2) makes no larger ones
inline constexpr std::string_view kAioRingPath = "/[aio] (deleted)";  // in /proc/PID/maps

// A ring fills whole pages.
constexpr std::uint64_t aio_ring_bytes(std::uint32_t slots) { return (std::uint64_t{slots} + 1) * kAioEventBytes; }
constexpr std::uint64_t aio_event_offset(std::uint32_t slot) { return sizeof(AioRing) + slot * kAioEventBytes; }
// How many slots lie from `head` to `tail`.
constexpr std::uint32_t aio_distance(std::uint32_t head, std::uint32_t tail, std::uint32_t slots) {
  return tail >= head ? tail - head : tail + slots - head;
}

bool can_be_aio_slots(std::uint32_t slots);
// Does it look as the kernel has made it, and fill its area?
bool is_sound(const AioRing&, std::uint64_t area_bytes);

// The least argument of io_setup(2) that makes a ring of so many slots. None where the processors that the machine may
// have (num_possible_cpus()) make every ring larger.
std::optional<std::uint32_t> aio_setup_argument(std::uint32_t slots, std::uint32_t possible_cpus);

// Of this machine; 0: not known.
std::uint32_t count_possible_cpus();
// "0-3,8"
std::uint32_t count_cpus(std::string_view list);

// How much io_setup(2) leaves to all users of the machine together; none: this kernel has no asynchronous I/O.
std::optional<std::uint64_t> read_free_aio_requests();

}  // namespace drover
