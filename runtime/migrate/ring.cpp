#include "runtime/migrate/ring.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "ckpt/sys/error.h"

namespace drover {

using shepherd::RingShape;
using shepherd::RingSlot;
using shepherd::Type;

RingMemory RingMemory::create(const RingShape& shape) {
  UniqueFd fd(check(::memfd_create("drover-ring", MFD_CLOEXEC), "memfd_create"));
  check(::ftruncate(fd.get(), static_cast<off_t>(shape.slots) * shape.slot_bytes), "ftruncate", "ring");
  return RingMemory(std::move(fd), shape);
}

RingMemory::RingMemory(UniqueFd fd, const RingShape& shape) : fd_(std::move(fd)), shape_(shape) {
  const std::size_t bytes = static_cast<std::size_t>(shape.slots) * shape.slot_bytes;
  struct stat status {};
  check(::fstat(fd_.get(), &status), "fstat", "ring");
  if (shape.slots < 2 || shape.slot_bytes < kMaxRecordBytes || static_cast<std::size_t>(status.st_size) < bytes)
    throw std::runtime_error("ring: slots too few or too small");
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (base == MAP_FAILED) throw SystemError("mmap", "ring", errno);
  base_ = static_cast<std::byte*>(base);
}

RingMemory::RingMemory(RingMemory&& other) noexcept
    : fd_(std::move(other.fd_)), shape_(other.shape_), base_(std::exchange(other.base_, nullptr)) {}

RingMemory::~RingMemory() {
  if (base_ != nullptr) ::munmap(base_, static_cast<std::size_t>(shape_.slots) * shape_.slot_bytes);
}

std::span<std::byte> RingMemory::slot(std::uint32_t index) const {
  if (index >= shape_.slots) throw ProtocolError("ring slot out of range");
  return {base_ + static_cast<std::size_t>(index) * shape_.slot_bytes, shape_.slot_bytes};
}

namespace {
// The next frame from the rank, which is needed to go on.
Frame next_frame(Connection& rank) {
  auto frame = rank.receive();
  if (!frame) throw RingAborted("the rank of this node is gone");
  return std::move(*frame);
}
bool is(const Frame& frame, Type type) { return frame.type == static_cast<std::uint16_t>(type); }
}  // namespace

RingSink::RingSink(Connection& rank, RingMemory memory, OtherFrames other)
    : rank_(rank), memory_(std::move(memory)), other_(std::move(other)) {
  for (std::uint32_t i = 0; i < memory_.shape().slots; ++i) free_.push_back(i);
}

void RingSink::wait_for_free_slot() {
  while (free_.empty()) {
    const Frame frame = next_frame(rank_);
    if (is(frame, Type::RingFree))
      free_.push_back(unpack<RingSlot>(frame.payload).slot);
    else
      other_(frame);
  }
}

std::span<std::byte> RingSink::reserve(std::size_t bytes) {
  if (used_ + bytes > memory_.shape().slot_bytes) send_slot();
  wait_for_free_slot();
  return memory_.slot(free_.front()).subspan(used_, bytes);
}

void RingSink::send_slot() {
  if (used_ == 0) return;
  rank_.send(static_cast<std::uint16_t>(Type::RingFilled),
             pack(RingSlot{free_.front(), static_cast<std::uint32_t>(used_)}));
  free_.pop_front();
  used_ = 0;
}

RingSource::RingSource(Connection& rank, RingMemory memory, OtherFrames other)
    : rank_(rank), memory_(std::move(memory)), other_(std::move(other)) {}

void RingSource::release_slot() {
  rank_.send(static_cast<std::uint16_t>(Type::RingFree), pack(RingSlot{filled_.front().slot, 0}));
  filled_.pop_front();
  begin_ = 0;
}

void RingSource::wait_for_filled_slot() {
  while (filled_.empty()) {
    const Frame frame = next_frame(rank_);
    if (is(frame, Type::RingFilled)) {
      const auto slot = unpack<RingSlot>(frame.payload);
      if (slot.slot >= memory_.shape().slots || slot.bytes > memory_.shape().slot_bytes)
        throw ProtocolError("ring slot out of range");
      filled_.push_back(slot);
    } else {
      other_(frame);
    }
  }
}

std::span<const std::byte> RingSource::peek(std::size_t bytes) {
  if (!filled_.empty() && begin_ >= filled_.front().bytes) release_slot();
  wait_for_filled_slot();
  // A record never straddles two slots, so that fewer bytes than asked for mean a broken image; the reader says so.
  const auto& slot = filled_.front();
  return std::span<const std::byte>(memory_.slot(slot.slot))
      .subspan(begin_, std::min<std::size_t>(bytes, slot.bytes - begin_));
}

}  // namespace drover
