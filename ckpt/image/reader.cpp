#include "ckpt/image/reader.h"

#include <fmt/format.h>

#include <cstring>

namespace drover {

template <class T>
static T read_plain(const Record& record) {
  T value;
  if (record.payload.size() != sizeof value) throw ImageError("damaged image: a record of the wrong size");
  std::memcpy(&value, record.payload.data(), sizeof value);
  return value;
}

ImageReader::ImageReader(ByteSource& source) : source_(source) {
  // Before anything else: is it an image at all? The magic number follows the first record's header.
  const auto start = source_.peek(sizeof(RecordHeader) + sizeof(ImageHeader));
  std::uint64_t magic = 0;
  if (start.size() >= sizeof(RecordHeader) + sizeof magic)
    std::memcpy(&magic, start.data() + sizeof(RecordHeader), sizeof magic);
  if (magic != kImageMagic) throw ImageError("not a Drover image");
  const Record first = next_part();
  if (first.type != RecordType::Header) throw ImageError("not a Drover image");
  const auto header = read_plain<ImageHeader>(first);
  if (header.format_version != kFormatVersion)
    throw ImageError(
        fmt::format("image has format version {}, this program reads {}", header.format_version, kFormatVersion));
  if (header.machine != kMachineX86_64 || header.page_bytes != kPageBytes)
    throw ImageError("image was made on another kind of machine");
}

Record ImageReader::next_part() {
  source_.consume(unconsumed_);
  unconsumed_ = 0;
  if (ended_) throw ImageError("nothing follows the end of an image");
  RecordHeader header{};
  const auto head = source_.peek(sizeof header);
  if (head.size() < sizeof header) throw ImageError("image is truncated");
  std::memcpy(&header, head.data(), sizeof header);
  if (header.payload_bytes > kMaxPayloadBytes) throw ImageError("damaged image: a record that is too long");
  const auto whole = source_.peek(sizeof header + header.payload_bytes);
  if (whole.size() < sizeof header + header.payload_bytes) throw ImageError("image is truncated");
  const auto payload = whole.subspan(sizeof header);
  if (record_checksum(header, payload.data()) != header.checksum || header.sequence != sequence_)
    throw ImageError(fmt::format("damaged image: checksum of record {} at byte {} is wrong", sequence_, image_bytes_));
  ++sequence_;
  unconsumed_ = whole.size();
  image_bytes_ += whole.size();
  return {static_cast<RecordType>(header.type), header.version, header.flags, payload};
}

void ImageReader::check_end(const Record& record) {
  const auto trailer = read_plain<ImageTrailer>(record);
  if (trailer.image_bytes != image_bytes_ - sizeof(RecordHeader) - sizeof trailer)
    throw ImageError("damaged image: its end does not fit its length");
  source_.consume(unconsumed_);
  unconsumed_ = 0;
  ended_ = true;
}

Record ImageReader::next() {
  in_window_ = false;
  Record record = next_part();
  if (record.version != 1) throw ImageError(fmt::format("image has a record of unknown version {}", record.version));
  if (record.type == RecordType::End) {
    object_.assign(record.payload.begin(), record.payload.end());
    check_end(record);
    record.payload = object_;
    return record;
  }
  in_window_ = !(record.flags & kMoreFollows);
  if (in_window_) return record;
  object_.assign(record.payload.begin(), record.payload.end());
  while (record.flags & kMoreFollows) {
    const Record part = next_part();
    if (part.type != record.type) throw ImageError("damaged image: an object is interrupted by another");
    if (object_.size() + part.payload.size() > kMaxObjectBytes) throw ImageError("damaged image: an object too large");
    object_.insert(object_.end(), part.payload.begin(), part.payload.end());
    record.flags = part.flags;
  }
  record.payload = object_;
  return record;
}

}  // namespace drover
