#include <gtest/gtest.h>

#include "ckpt/image/reader.h"
#include "ckpt/image/state/process.h"
#include "ckpt/image/writer.h"
#include "tests/unit/ckpt/memory_stream.h"

namespace drover {
namespace {

std::vector<std::byte> make_image(std::size_t context_bytes) {
  MemorySink sink;
  ImageWriter writer(sink);
  ProcessState process;
  process.pid = 42;
  process.cwd = "/somewhere";
  writer.add(RecordType::Process, process);
  std::vector<std::byte> context(context_bytes);
  for (std::size_t i = 0; i < context.size(); ++i) context[i] = static_cast<std::byte>(i * 7);
  writer.add_bytes(RecordType::Context, context);
  writer.finish(0);
  EXPECT_EQ(writer.image_bytes(), sink.bytes.size());
  return sink.bytes;
}

void read_all(std::span<const std::byte> bytes) {
  MemorySource source(bytes);
  ImageReader reader(source);
  while (reader.next().type != RecordType::End) {
  }
}

TEST(Image, GivesBackItsObjects) {
  const auto bytes = make_image(10);
  MemorySource source(bytes);
  ImageReader reader(source);
  const Record process = reader.next();
  ASSERT_EQ(process.type, RecordType::Process);
  EXPECT_EQ(process.decode<ProcessState>().cwd, "/somewhere");
  EXPECT_EQ(reader.next().payload.size(), 10U);
  EXPECT_EQ(reader.next().type, RecordType::End);
  EXPECT_THROW(reader.next(), ImageError);
}

TEST(Image, LargeObjectsSpanRecords) {
  const auto bytes = make_image(3 * kMaxRecordBytes);
  MemorySource source(bytes);
  ImageReader reader(source);
  reader.next();
  const Record context = reader.next();
  ASSERT_EQ(context.payload.size(), 3 * kMaxRecordBytes);
  EXPECT_EQ(context.payload[700'000], static_cast<std::byte>(700'000 * 7));
}

TEST(Image, EveryTruncationIsRefused) {
  const auto bytes = make_image(100);
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_THROW(read_all(std::span(bytes).first(n)), ImageError) << n;
}

TEST(Image, EveryFlippedBitIsFound) {
  auto bytes = make_image(100);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<std::byte>(1 << bit);
      EXPECT_THROW(read_all(bytes), ImageError) << i << " bit " << bit;
      bytes[i] ^= static_cast<std::byte>(1 << bit);
    }
  }
}

TEST(Image, RecordsInAnotherOrderAreRefused) {
  const auto bytes = make_image(100);
  // The second record, repeated.
  RecordHeader header{};
  const std::size_t first = sizeof(RecordHeader) + sizeof(ImageHeader);
  std::memcpy(&header, &bytes[first], sizeof header);
  const std::size_t length = sizeof header + header.payload_bytes;
  std::vector<std::byte> twice(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(first + length));
  twice.insert(twice.end(), bytes.begin() + static_cast<std::ptrdiff_t>(first), bytes.end());
  EXPECT_THROW(read_all(twice), ImageError);
}

TEST(Image, SomethingElseIsNotAnImage) {
  const std::string text(1000, 'x');
  EXPECT_THROW(read_all(std::as_bytes(std::span(text))), ImageError);
  EXPECT_THROW(read_all({}), ImageError);
}

}  // namespace
}  // namespace drover
