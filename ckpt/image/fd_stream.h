// ByteSink and ByteSource over a file descriptor: a regular file, a pipe or a socket.
#pragma once

#include <cstdint>
#include <memory>

#include "ckpt/image/stream.h"

namespace drover {

class FdSink final : public ByteSink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}  // does not own `fd`
  std::span<std::byte> reserve(std::size_t bytes) override;
  void commit(std::size_t bytes) override { used_ += bytes; }
  void flush() override;

 private:
  // Fresh memory costs more than a call, and the processor's cache holds this much.
  static constexpr std::size_t kBufferBytes = 2 * kMaxRecordBytes;
  int fd_;
  // Uninitialised: only what is used is ever touched.
  std::unique_ptr<std::byte[]> buffer_ = std::make_unique_for_overwrite<std::byte[]>(kBufferBytes);
  std::size_t used_ = 0;
};

class FdSource final : public ByteSource {
 public:
  explicit FdSource(int fd) : fd_(fd) {}  // does not own `fd`
  std::span<const std::byte> peek(std::size_t bytes) override;
  void consume(std::size_t bytes) override { begin_ += bytes; }

 private:
  static constexpr std::size_t kBufferBytes = 2 * kMaxRecordBytes;
  int fd_;
  std::unique_ptr<std::byte[]> buffer_ = std::make_unique_for_overwrite<std::byte[]>(kBufferBytes);
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace drover
