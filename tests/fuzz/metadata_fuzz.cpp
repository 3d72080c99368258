// Feeds a restorer's reading of metadata, with all its checks for sense. The input is a list of records, of which the
// outer form is made here, since no mutation gets a checksum right: type (16), number of bytes (24), bytes. Whatever
// comes, the answer is a model or an ImageError. seeds.py makes such a list of an image.
#include <cstdint>

#include "ckpt/image/reader.h"
#include "ckpt/image/writer.h"
#include "ckpt/restore/image_model.h"
#include "tests/unit/ckpt/memory_stream.h"

namespace drover {
namespace {

void read_model(std::span<const std::byte> input) {
  MemorySink image;
  ImageWriter writer(image);
  const auto number = [&input](std::size_t at) { return std::to_integer<std::uint32_t>(input[at]); };
  constexpr std::size_t kHead = 5;
  while (input.size() >= kHead) {
    const auto type = static_cast<RecordType>(number(0) | number(1) << 8);
    const std::size_t size = number(2) | number(3) << 8 | number(4) << 16;
    input = input.subspan(kHead);
    const auto payload = input.first(std::min(size, input.size()));
    writer.add_bytes(type, payload);
    input = input.subspan(payload.size());
  }
  writer.add_bytes(RecordType::MetadataEnd, {});
  writer.finish(0);
  MemorySource source(image.bytes);
  ImageReader reader(source);
  read_metadata(reader);
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    drover::read_model(std::as_bytes(std::span(data, size)));
  } catch (const drover::ImageError&) {
  }
  return 0;
}
