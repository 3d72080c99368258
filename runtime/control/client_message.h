// The message types between launcher and droverd, and the binary payloads of the stream messages: PROTOCOL.md as code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace drover {

enum class ClientMessage : std::uint16_t { Request = 1, Reply = 2, Item = 3, Data = 4, Ack = 5, End = 6 };

// Pipe: what a program with a terminal reads from a pipe beside it; its Stdin is the terminal's.
enum class Stream : std::uint8_t { Stdin = 0, Stdout = 1, Stderr = 2, Pipe = 3 };

inline constexpr std::size_t kMaxStreamBytes = 64 * 1024;   // of one Data message
inline constexpr std::uint64_t kStreamWindow = 256 * 1024;  // at most this much beyond the last ack
// Of a spec's `script`. As hexadecimal digits, and with an environment of 2 MiB, it still fits into a frame.
inline constexpr std::size_t kMaxScriptBytes = 2 * 1024 * 1024;

// The payload of Data, Ack and End. `bytes` is empty but for Data.
struct StreamMessage {
  Stream stream = Stream::Stdin;
  std::uint64_t offset = 0;  // of the first byte (Data), of the first one not yet safe (Ack), of the stream's end (End)
  std::string_view bytes;
};

std::string encode_stream_message(const StreamMessage&);
// `bytes` points into `payload`. Throws ProtocolError for a short payload, an unknown stream or too many bytes.
StreamMessage decode_stream_message(std::string_view payload);

}  // namespace drover
