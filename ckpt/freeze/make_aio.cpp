#include "ckpt/freeze/make_aio.h"

#include <fmt/format.h>
#include <linux/aio_abi.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

// Submits reads of an eventfd that holds nothing: they end at once, with EAGAIN.
class Completer {
 public:
  Completer(const AioMaker& maker, std::uint64_t context, std::uint32_t slots)
      : maker_(maker),
        context_(context),
        // Half of the slots can be had on whichever processor the thread runs.
        most_(std::clamp<std::uint64_t>(slots / 2, 1, kMostAtOnce)),
        batch_(maker.area.main_batch()) {
    const auto opened = batch_.must("eventfd2", SYS_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC);
    maker_.run(batch_);
    fd_ = static_cast<int>(batch_.result(opened));
    begin();
  }
  Completer(const Completer&) = delete;

  void submit(std::uint64_t count, bool read) {
    for (std::uint64_t left = count; left > 0;) {
      if (batch_.room() < 2 * sizeof(Batch::Call) + kReserve) flush();
      const std::uint64_t now = std::min(left, most_);
      expected_.emplace_back(batch_.may(SYS_io_submit, context_, now, pointers_), now);
      if (read) expected_.emplace_back(batch_.may(SYS_io_getevents, context_, 0, now, events_, 0), now);
      left -= now;
    }
  }

  bool finish() {
    batch_.may(SYS_close, fd_);
    flush();
    return complete_;
  }

 private:
  static constexpr std::uint64_t kMostAtOnce = 2048;
  static constexpr std::size_t kReserve = 1024;

  void begin() {
    batch_.clear();
    iocb request{};
    request.aio_lio_opcode = IOCB_CMD_PREAD;
    request.aio_fildes = static_cast<__u32>(fd_);
    request.aio_nbytes = sizeof(std::uint64_t);
    request.aio_buf = batch_.space(sizeof(std::uint64_t));
    const std::vector<std::uint64_t> pointers(most_, batch_.push_value(request));
    pointers_ = batch_.push(std::as_bytes(std::span(pointers)));
    events_ = batch_.space(most_ * kAioEventBytes);
  }

  void flush() {
    maker_.run(batch_);
    for (const auto& [call, count] : expected_)
      complete_ = complete_ && batch_.result(call) == static_cast<long>(count);
    expected_.clear();
    begin();
  }

  const AioMaker& maker_;
  std::uint64_t context_, most_;
  Batch batch_;
  int fd_ = -1;
  std::uint64_t pointers_ = 0, events_ = 0;
  std::vector<std::pair<std::size_t, std::uint64_t>> expected_;  // results of calls
  bool complete_ = true;
};

}  // namespace

bool AioMaker::complete(std::uint64_t context, std::uint32_t slots, std::uint64_t read, std::uint64_t unread) const {
  if (read + unread == 0) return true;
  Completer completer(*this, context, slots);
  completer.submit(read, true);
  completer.submit(unread, false);
  return completer.finish();
}

std::uint64_t AioMaker::make(std::uint32_t argument, std::uint32_t slots, std::uint32_t head,
                             std::uint32_t tail) const {
  // Free slots may be set aside for another processor that the thread has been on (get_reqs_available()).
  constexpr int kAttempts = 3;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Batch batch = area.main_batch();
    const std::uint64_t at = batch.space(sizeof(std::uint64_t));
    batch.must("io_setup", SYS_io_setup, argument, at);
    run(batch);
    const auto context = memory().load<std::uint64_t>(at);
    mark(context, kAioSpare);
    if (const std::uint32_t made = memory().load<AioRing>(context).slots; made != slots) {
      destroy(context, made);
      throw SystemError("make an aio context", fmt::format("of {} slots", slots), EINVAL);
    }
    if (complete(context, slots, head, aio_distance(head, tail, slots))) return context;
    destroy(context, slots);
  }
  throw SystemError("io_submit", fmt::format("to an aio context of {} slots", slots), EAGAIN);
}

void AioMaker::add_move(Batch& batch, std::uint64_t from, std::uint64_t to, std::uint32_t slots) {
  const std::uint64_t bytes = aio_ring_bytes(slots);
  batch.must(fmt::format("mremap aio ring to {:#x}", to), SYS_mremap, from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
             to);
}

std::vector<AioEvent> AioMaker::read_events(std::uint64_t context, std::uint32_t slots, std::uint32_t from,
                                            std::uint32_t to) const {
  std::vector<AioEvent> events(aio_distance(from, to, slots));
  const auto bytes = std::as_writable_bytes(std::span(events));
  const std::size_t first = std::min<std::size_t>(events.size(), slots - from) * kAioEventBytes;
  memory().read(context + aio_event_offset(from), bytes.first(first));
  if (first < bytes.size()) memory().read(context + aio_event_offset(0), bytes.subspan(first));
  return events;
}

void AioMaker::write_events(std::uint64_t context, std::uint32_t slots, std::uint32_t from,
                            std::span<const AioEvent> events) const {
  const auto bytes = std::as_bytes(events);
  const std::size_t first = std::min<std::size_t>(events.size(), slots - from) * kAioEventBytes;
  if (first > 0) memory().write(context + aio_event_offset(from), bytes.first(first));
  if (first < bytes.size()) memory().write(context + aio_event_offset(0), bytes.subspan(first));
}

int AioMaker::submit(std::uint64_t context, std::uint64_t iocb) const {
  Batch batch = area.main_batch();
  const auto call = batch.may(SYS_io_submit, context, 1, batch.push_value(iocb));
  run(batch);
  const long result = batch.result(call);
  return result < 0 ? static_cast<int>(-result) : 0;
}

void AioMaker::mark(std::uint64_t context, std::uint32_t as) const {
  memory().store(context + offsetof(AioRing, compatible_features), as);
}

void AioMaker::destroy(std::uint64_t context, std::uint32_t slots) const {
  Batch batch = area.main_batch();
  batch.may(SYS_io_destroy, context);
  batch.may(SYS_munmap, context, aio_ring_bytes(slots));
  run(batch);
}

}  // namespace drover
