// Makes contexts of asynchronous I/O inside a process, as somebody had them: at the destination, and at the source in
// place of those that had to be destroyed to see what was under way (dump/aio.cpp).
//
// The hard thing is the ring's tail: the kernel keeps its own copy, and counts which events have been read. So requests
// that end at once are submitted, and read, until both are where they were; only then the events are exchanged.
#pragma once

#include <cstdint>
#include <span>

#include "ckpt/freeze/remote_syscalls.h"
#include "ckpt/image/state/aio.h"
#include "ckpt/sys/aio_ring.h"

namespace drover {

// A process, by one of its threads.
struct AioMaker {
  RemoteSyscalls& thread;
  const RemoteArea& area;

  void run(Batch& batch) const { thread.run(area, batch); }
  const RemoteMemory& memory() const { return thread.memory(); }

  // A context somewhere, marked as a spare one, by io_setup(`argument`). Its head and tail are those given, its unread
  // events mean nothing.
  // Throws SystemError, and leaves nothing, if it can't be had.
  std::uint64_t make(std::uint32_t argument, std::uint32_t slots, std::uint32_t head, std::uint32_t tail) const;
  // The id follows the ring (aio_ring_mremap() in fs/aio.c).
  static void add_move(Batch&, std::uint64_t from, std::uint64_t to, std::uint32_t slots);
  // Lets so many requests end: the first `read` of their events are read, `unread` are not. False if there were not
  // enough free slots.
  bool complete(std::uint64_t context, std::uint32_t slots, std::uint64_t read, std::uint64_t unread) const;
  std::vector<AioEvent> read_events(std::uint64_t context, std::uint32_t slots, std::uint32_t from,
                                    std::uint32_t to) const;
  void write_events(std::uint64_t context, std::uint32_t slots, std::uint32_t from, std::span<const AioEvent>) const;
  // 0, or the error with which the kernel refuses the request at `iocb`.
  int submit(std::uint64_t context, std::uint64_t iocb) const;
  void mark(std::uint64_t context, std::uint32_t as) const;
  // What fork(2) has made of one goes, too.
  void destroy(std::uint64_t context, std::uint32_t slots) const;
};

}  // namespace drover
