// ByteSink and ByteSource over a file descriptor: a regular file, a pipe or a socket. Large regular files are written
// and read by a thread of their own, while pages are read from or written to the program here. A pipe is only written
// so: its two ends wait for each other while bytes are copied into it or out of it (its mutex), and the one that has
// the program's pages to read meanwhile has more to do.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ckpt/image/stream.h"
#include "ckpt/sys/background_call.h"

namespace drover {

class FdSink final : public ByteSink {
 public:
  explicit FdSink(int fd);  // does not own `fd`
  std::span<std::byte> reserve(std::size_t bytes) override;
  void commit(std::size_t bytes) override { used_ += bytes; }
  // All is in the file afterwards.
  void flush() override;

 private:
  // Fresh memory costs more than a call, and the processor's cache holds this much.
  static constexpr std::size_t kBufferBytes = 2 * kMaxRecordBytes;
  void spill();

  int fd_;
  bool beside_;  // written by the other thread, once there is much
  // Uninitialised: only what is used is ever touched. `other_`: what is being written.
  std::unique_ptr<std::byte[]> buffer_, other_;
  std::size_t used_ = 0;
  std::uint64_t written_ = 0;
  BackgroundCall writing_;  // last: it ends before the buffers
};

// Where a large file is read ahead, its offset stays where it was.
class FdSource final : public ByteSource {
 public:
  explicit FdSource(int fd);  // does not own `fd`
  std::span<const std::byte> peek(std::size_t bytes) override;
  void consume(std::size_t bytes) override { begin_ += bytes; }
  std::shared_ptr<const void> keep() override { return buffer_; }

 private:
  static constexpr std::size_t kBufferBytes = 2 * kMaxRecordBytes;
  using Buffer = std::shared_ptr<std::byte[]>;
  Buffer free_buffer();
  void read_more(std::size_t wanted);
  void read_ahead();
  void take_what_was_read();

  int fd_;
  bool ahead_ = false;
  // When read ahead, the file's bytes lie behind room for a record that began in the buffer before.
  std::vector<Buffer> buffers_;  // all there are: one that nobody else has is free
  Buffer buffer_, other_;
  std::size_t begin_ = 0, end_ = 0;
  std::size_t other_bytes_ = 0;
  std::int64_t offset_ = 0;
  BackgroundCall reading_;
};

}  // namespace drover
