// Contexts of asynchronous I/O, and the polls that waited in them. The kernel chooses where a context is made, which
// must not be where another one belongs: so all places are taken before the first is made.
#include <fmt/format.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "ckpt/freeze/make_aio.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"

namespace drover {

static constexpr std::size_t kEntryRoom = 1024;

static void take_places(HeldProcess& held) {
  Batch batch = held.batch();
  for (const AioContext& context : held.image.memory.aio) {
    held.make_room(batch, kEntryRoom);
    batch.must(fmt::format("mmap {:#x}", context.address), SYS_mmap, context.address, aio_ring_bytes(context.slots),
               PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  }
  held.run(batch);
}

void make_aio_contexts(HeldProcess& held) {
  if (held.image.memory.aio.empty()) return;
  take_places(held);
  const AioMaker maker{held.leader(), held.area};
  const std::uint32_t cpus = count_possible_cpus();
  for (const AioContext& context : held.image.memory.aio) {
    const auto argument = aio_setup_argument(context.slots, cpus);
    if (!argument) throw SystemError("io_setup", fmt::format("{} slots", context.slots), EINVAL);
    const std::uint64_t made = maker.make(*argument, context.slots, context.head, context.tail);
    Batch batch = held.batch();
    AioMaker::add_move(batch, made, context.address, context.slots);
    held.run(batch);
    maker.mark(context.address, kAioInUse);
    maker.write_events(context.address, context.slots, context.head, context.unread);
  }
}

// Nothing but a poll: other requests would be carried out with rights that the program has not got.
static void check_poll(const HeldProcess& held, std::uint64_t request) {
  iocb found{};
  if (!held.memory.try_read(request, std::as_writable_bytes(std::span(&found, 1))) ||
      found.aio_lio_opcode != IOCB_CMD_POLL)
    throw ImageError("damaged image: asynchronous I/O that is no poll");
}

void submit_polls(HeldProcess& held) {
  const AioMaker maker{held.leader(), held.area};
  for (const AioContext& context : held.image.memory.aio) {
    for (const std::uint64_t request : context.polls) {
      check_poll(held, request);
      if (const int error = maker.submit(context.address, request); error != 0)
        throw SystemError("io_submit", fmt::format("the poll at {:#x}", request), error);
    }
  }
}

}  // namespace drover
