// A sink and a source over a vector, for tests. The source gives short windows at its end, as a truncated file does.
#pragma once

#include <algorithm>
#include <vector>

#include "ckpt/image/stream.h"

namespace drover {

class MemorySink final : public ByteSink {
 public:
  std::span<std::byte> reserve(std::size_t n) override {
    window_.assign(n, std::byte{0xee});
    return window_;
  }
  void commit(std::size_t n) override {
    bytes.insert(bytes.end(), window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(n));
  }
  void flush() override {}
  std::vector<std::byte> bytes;

 private:
  std::vector<std::byte> window_;
};

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : rest_(bytes) {}
  std::span<const std::byte> peek(std::size_t n) override { return rest_.first(std::min(n, rest_.size())); }
  void consume(std::size_t n) override { rest_ = rest_.subspan(n); }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace drover
