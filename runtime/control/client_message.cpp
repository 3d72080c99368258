#include "runtime/control/client_message.h"

#include <fmt/format.h>

#include <cstring>

#include "runtime/control/frame.h"

namespace drover {

namespace {
constexpr std::size_t kHeaderBytes = 16;  // u8 stream, 7 zero bytes, u64 offset
}

std::string encode_stream_message(const StreamMessage& message) {
  std::string payload(kHeaderBytes, '\0');
  payload[0] = static_cast<char>(message.stream);
  std::memcpy(payload.data() + 8, &message.offset, sizeof message.offset);
  payload.append(message.bytes);
  return payload;
}

StreamMessage decode_stream_message(std::string_view payload) {
  if (payload.size() < kHeaderBytes || payload.size() > kHeaderBytes + kMaxStreamBytes)
    throw ProtocolError(fmt::format("stream message of {} bytes", payload.size()));
  const auto stream = static_cast<unsigned char>(payload[0]);
  if (stream > static_cast<unsigned char>(Stream::Pipe))
    throw ProtocolError(fmt::format("stream message for stream {}", stream));
  StreamMessage message{static_cast<Stream>(stream), 0, payload.substr(kHeaderBytes)};
  std::memcpy(&message.offset, payload.data() + 8, sizeof message.offset);
  if (message.offset > UINT64_MAX - message.bytes.size()) throw ProtocolError("stream message beyond the last offset");
  return message;
}

}  // namespace drover
