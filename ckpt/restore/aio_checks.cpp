#include "ckpt/restore/aio_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "ckpt/sys/aio_ring.h"

namespace drover {

static bool is_sound(const AioContext& context, const AreaState& area) {
  if (!can_be_aio_slots(context.slots) || context.head >= context.slots || context.tail >= context.slots) return false;
  // Each request has a slot.
  return area.start == context.address && area.bytes() == aio_ring_bytes(context.slots) &&
         context.unread.size() == aio_distance(context.head, context.tail, context.slots) &&
         context.polls.size() < context.slots;
}

bool are_sound_contexts(const MemoryState& memory) {
  std::size_t next = 0;
  for (const AreaState& area : memory.areas) {
    if (area.kind != AreaKind::AioRing) continue;
    if (next == memory.aio.size() || !is_sound(memory.aio[next], area)) return false;
    ++next;
  }
  return next == memory.aio.size();
}

std::optional<Refusal> find_aio_obstacle(const ImageModel& model) {
  const auto has_contexts = [](const ProcessImage& image) { return !image.memory.aio.empty(); };
  if (std::none_of(model.processes.begin(), model.processes.end(), has_contexts)) return std::nullopt;
  const std::uint32_t cpus = count_possible_cpus();
  const auto free = read_free_aio_requests();
  std::uint64_t needed = 0;
  for (const ProcessImage& image : model.processes) {
    for (const AioContext& context : image.memory.aio) {
      if (!free) return Refusal{"the kernel here has no asynchronous I/O (io_setup)"};
      const auto argument = aio_setup_argument(context.slots, cpus);
      if (!argument)
        return Refusal{
            fmt::format("has an aio context of {} slots; with {} possible processors the kernel here makes "
                        "larger ones only",
                        context.slots, cpus)};
      needed += *argument;
    }
  }
  if (needed == 0 || needed <= *free) return std::nullopt;
  return Refusal{fmt::format("needs {} requests of asynchronous I/O, {} are free here (fs.aio-max-nr)", needed, *free)};
}

}  // namespace drover
