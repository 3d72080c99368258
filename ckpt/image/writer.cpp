#include "ckpt/image/writer.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace drover {

std::uint64_t record_checksum(const RecordHeader& header, const std::byte* payload) {
  const std::uint64_t seed = XXH3_64bits(&header, offsetof(RecordHeader, checksum));
  return XXH3_64bits_withSeed(payload, header.payload_bytes, seed);
}

template <class T>
static std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

ImageWriter::ImageWriter(ByteSink& sink) : sink_(sink) {
  add_bytes(RecordType::Header, bytes_of(ImageHeader{kImageMagic, kFormatVersion, kMachineX86_64, kPageBytes, 0}));
}

void ImageWriter::add_bytes(RecordType type, std::span<const std::byte> object) {
  if (object.size() > kMaxObjectBytes) throw ImageError("object too large for an image");
  do {
    const std::size_t part = std::min(object.size(), kMaxPayloadBytes);
    const auto payload = begin_record(part);
    std::copy_n(object.begin(), part, payload.begin());
    object = object.subspan(part);
    end_record(type, object.empty() ? 0U : std::uint32_t{kMoreFollows}, part);
  } while (!object.empty());
}

std::span<std::byte> ImageWriter::begin_record(std::size_t bytes) {
  window_ = sink_.reserve(sizeof(RecordHeader) + bytes);
  return window_.subspan(sizeof(RecordHeader));
}

void ImageWriter::end_record(RecordType type, std::uint32_t flags, std::size_t payload_bytes) {
  RecordHeader header{static_cast<std::uint16_t>(type),          1,           flags,
                      static_cast<std::uint32_t>(payload_bytes), sequence_++, 0};
  header.checksum = record_checksum(header, window_.data() + sizeof header);
  std::memcpy(window_.data(), &header, sizeof header);
  sink_.commit(sizeof header + payload_bytes);
  image_bytes_ += sizeof header + payload_bytes;
}

void ImageWriter::finish(std::uint64_t pages) {
  add_bytes(RecordType::End, bytes_of(ImageTrailer{image_bytes_, pages}));
  sink_.flush();
}

}  // namespace drover
