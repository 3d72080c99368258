// The image's way between a worker and its rank: a shared memory file of equal slots. The worker fills (or empties)
// slots in turn, the rank sends from (or receives into) them with MPI; nothing is copied in between. Who may touch a
// slot is said by RingFilled and RingFree frames on the worker's socket.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>

#include "ckpt/image/stream.h"
#include "ckpt/sys/unique_fd.h"
#include "runtime/control/connection.h"
#include "runtime/shepherd/messages.h"

namespace drover {

// The mapping, on either side.
class RingMemory {
 public:
  // Makes the shared memory (a memfd, all of it populated at first use).
  static RingMemory create(const shepherd::RingShape& shape);
  // Maps the one behind `fd`. Throws SystemError; std::runtime_error if it is smaller than `shape` says.
  RingMemory(UniqueFd fd, const shepherd::RingShape& shape);
  RingMemory(RingMemory&& other) noexcept;
  ~RingMemory();

  int fd() const { return fd_.get(); }
  const shepherd::RingShape& shape() const { return shape_; }
  std::span<std::byte> slot(std::uint32_t index) const;

 private:
  UniqueFd fd_;
  shepherd::RingShape shape_;
  std::byte* base_ = nullptr;
};

// The other side said to stop, or is gone.
class RingAborted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Frames that are not about slots go to this handler; it may throw RingAborted.
using OtherFrames = std::function<void(const Frame&)>;

// The source worker's end. The last slot is held back until finish(): the commit protocol acts between a whole image
// and its leaving.
class RingSink final : public ByteSink {
 public:
  RingSink(Connection& rank, RingMemory memory, OtherFrames other);
  std::span<std::byte> reserve(std::size_t bytes) override;
  void commit(std::size_t bytes) override { used_ += bytes; }
  void flush() override {}
  void finish() { send_slot(); }

 private:
  void send_slot();
  void wait_for_free_slot();
  Connection& rank_;
  RingMemory memory_;
  OtherFrames other_;
  std::deque<std::uint32_t> free_;
  std::size_t used_ = 0;
};

// The destination worker's end.
class RingSource final : public ByteSource {
 public:
  RingSource(Connection& rank, RingMemory memory, OtherFrames other);
  std::span<const std::byte> peek(std::size_t bytes) override;
  void consume(std::size_t bytes) override { begin_ += bytes; }

 private:
  void release_slot();
  void wait_for_filled_slot();
  Connection& rank_;
  RingMemory memory_;
  OtherFrames other_;
  std::deque<shepherd::RingSlot> filled_;
  std::size_t begin_ = 0;
};

}  // namespace drover
