// The frame decoder takes hostile bytes in any portions without a crash, an allocation ahead of the bytes, or a
// half-taken frame.
#include "runtime/control/frame.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace drover {
namespace {

std::string header(std::uint32_t magic, std::uint16_t version, std::uint16_t type, std::uint32_t length,
                   std::uint32_t zero = 0) {
  std::string out(kFrameHeaderBytes, '\0');
  std::memcpy(out.data(), &magic, 4);
  std::memcpy(out.data() + 4, &version, 2);
  std::memcpy(out.data() + 6, &type, 2);
  std::memcpy(out.data() + 8, &length, 4);
  std::memcpy(out.data() + 12, &zero, 4);
  return out;
}

TEST(Frame, RoundTripsInAnyPortions) {
  std::string stream;
  for (int i = 0; i < 50; ++i) stream += encode_frame(static_cast<std::uint16_t>(i), std::string(i * 37 % 300, 'x'));
  for (const std::size_t portion : {std::size_t{1}, std::size_t{7}, std::size_t{16}, std::size_t{4096}}) {
    FrameDecoder decoder;
    int seen = 0;
    for (std::size_t at = 0; at < stream.size(); at += portion) {
      decoder.feed(std::string_view(stream).substr(at, portion));
      while (auto frame = decoder.next()) {
        EXPECT_EQ(frame->type, seen);
        EXPECT_EQ(frame->payload.size(), static_cast<std::size_t>(seen * 37 % 300));
        ++seen;
      }
    }
    EXPECT_EQ(seen, 50);
    EXPECT_TRUE(decoder.empty());
  }
}

TEST(Frame, WaitsForTheWholeOfIt) {
  const std::string bytes = encode_frame(1, "hello");
  FrameDecoder decoder;
  decoder.feed(std::string_view(bytes).substr(0, bytes.size() - 1));
  EXPECT_FALSE(decoder.next());
  EXPECT_FALSE(decoder.empty());
  decoder.feed(std::string_view(bytes).substr(bytes.size() - 1));
  EXPECT_EQ(decoder.next()->payload, "hello");
}

TEST(Frame, RefusesBadHeaders) {
  const auto refused = [](const std::string& bytes) {
    FrameDecoder decoder;
    decoder.feed(bytes);
    EXPECT_THROW(decoder.next(), ProtocolError);
  };
  refused(header(0x12345678, kFrameVersion, 1, 0));
  refused(header(kFrameMagic, kFrameVersion + 1, 1, 0));
  refused(header(kFrameMagic, kFrameVersion, 1, kMaxFramePayload + 1));
  refused(header(kFrameMagic, kFrameVersion, 1, 0xffffffff));
  refused(header(kFrameMagic, kFrameVersion, 1, 0, 1));
  refused("GET / HTTP/1.1\r\n\r\n");
}

TEST(Frame, RefusesToSendWhatItWouldNotTake) {
  EXPECT_THROW(encode_frame(1, std::string(kMaxFramePayload + 1, 'x')), ProtocolError);
  EXPECT_NO_THROW(encode_frame(1, std::string(kMaxFramePayload, 'x')));
}

TEST(Frame, SurvivesRandomBytesAndFlippedBits) {
  std::mt19937 random(20240817);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = encode_frame(3, std::string(random() % 200, 'y')) + encode_frame(4, "second");
    for (unsigned flips = random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] ^= static_cast<char>(1U << random() % 8);
    if (round % 5 == 0)
      for (char& byte : bytes) byte = static_cast<char>(random());
    FrameDecoder decoder;
    try {
      for (std::size_t at = 0; at < bytes.size(); at += 13) {
        decoder.feed(std::string_view(bytes).substr(at, 13));
        while (auto frame = decoder.next()) EXPECT_LE(frame->payload.size(), bytes.size());
      }
    } catch (const ProtocolError&) {
    }
  }
}

}  // namespace
}  // namespace drover
