// The framing of every local socket of Drover: launcher and droverd, droverd and shepherds, droverd and workers.
//
//   offset  size  field
//        0     4  magic "DRVF"
//        4     2  version (kFrameVersion)
//        6     2  type
//        8     4  payload length in bytes, at most kMaxFramePayload
//       12     4  zero
//       16     -  payload
//
// All numbers little-endian (x86-64 only). Downside: no checksum, since both ends are on one kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

inline constexpr std::uint32_t kFrameMagic = 0x46565244;  // "DRVF"
inline constexpr std::uint16_t kFrameVersion = 1;
inline constexpr std::size_t kFrameHeaderBytes = 16;
// A job's environment may be 2 MiB (a quarter of the stack limit); nothing else comes near.
inline constexpr std::size_t kMaxFramePayload = 8 * 1024 * 1024;

// Bytes that are not the protocol: wrong magic, a version we do not speak, a length out of bounds.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Frame {
  std::uint16_t type = 0;
  std::string payload;
};

std::string encode_frame(std::uint16_t type, std::string_view payload);

// Takes bytes as they come and gives whole frames back. Throws ProtocolError at the first bad header; allocates no more
// than what has arrived.
class FrameDecoder {
 public:
  void feed(std::span<const char> bytes);
  std::optional<Frame> next();
  bool empty() const { return buffer_.size() == begin_; }

 private:
  std::string buffer_;
  std::size_t begin_ = 0;
};

}  // namespace drover
