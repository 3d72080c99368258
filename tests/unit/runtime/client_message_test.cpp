#include "runtime/control/client_message.h"

#include <gtest/gtest.h>

#include "runtime/control/frame.h"

namespace drover {
namespace {

TEST(StreamMessage, RoundTrips) {
  const std::string payload = encode_stream_message({Stream::Stderr, 1ULL << 40, "hello"});
  EXPECT_EQ(payload.size(), 21U);
  const StreamMessage message = decode_stream_message(payload);
  EXPECT_EQ(message.stream, Stream::Stderr);
  EXPECT_EQ(message.offset, 1ULL << 40);
  EXPECT_EQ(message.bytes, "hello");
}

TEST(StreamMessage, RefusesHostileBytes) {
  EXPECT_THROW(decode_stream_message(""), ProtocolError);
  EXPECT_THROW(decode_stream_message(std::string(15, '\0')), ProtocolError);
  EXPECT_THROW(decode_stream_message(std::string(16, '\4')), ProtocolError);
  EXPECT_THROW(decode_stream_message(std::string(17 + kMaxStreamBytes, '\0')), ProtocolError);
  EXPECT_THROW(decode_stream_message(encode_stream_message({Stream::Stdin, UINT64_MAX, "xy"})), ProtocolError);
}

}  // namespace
}  // namespace drover
