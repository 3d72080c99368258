#include "runtime/control/frame.h"

#include <fmt/format.h>

#include <cstring>

namespace drover {

namespace {
struct Header {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t type;
  std::uint32_t length;
  std::uint32_t zero;
};
static_assert(sizeof(Header) == kFrameHeaderBytes);
}  // namespace

std::string encode_frame(std::uint16_t type, std::string_view payload) {
  if (payload.size() > kMaxFramePayload)
    throw ProtocolError(fmt::format("frame of {} bytes is over the limit of {}", payload.size(), kMaxFramePayload));
  const Header header{kFrameMagic, kFrameVersion, type, static_cast<std::uint32_t>(payload.size()), 0};
  std::string out;
  out.reserve(sizeof header + payload.size());
  out.append(reinterpret_cast<const char*>(&header), sizeof header);
  out.append(payload);
  return out;
}

void FrameDecoder::feed(std::span<const char> bytes) {
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    begin_ = 0;
  } else if (begin_ > kFrameHeaderBytes && begin_ > buffer_.size() / 2) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  buffer_.append(bytes.data(), bytes.size());
}

std::optional<Frame> FrameDecoder::next() {
  if (buffer_.size() - begin_ < kFrameHeaderBytes) return std::nullopt;
  Header header;
  std::memcpy(&header, buffer_.data() + begin_, sizeof header);
  if (header.magic != kFrameMagic) throw ProtocolError("not a drover frame");
  if (header.version != kFrameVersion)
    throw ProtocolError(fmt::format("frame version {} (this is {})", header.version, kFrameVersion));
  if (header.length > kMaxFramePayload || header.zero != 0)
    throw ProtocolError(fmt::format("frame length {} out of bounds", header.length));
  if (buffer_.size() - begin_ - kFrameHeaderBytes < header.length) return std::nullopt;
  Frame frame{header.type, buffer_.substr(begin_ + kFrameHeaderBytes, header.length)};
  begin_ += kFrameHeaderBytes + header.length;
  return frame;
}

}  // namespace drover
