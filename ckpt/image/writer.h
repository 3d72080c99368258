// Frames records and puts them into a sink. Large contents are written in place: begin_record() hands out the payload's
// bytes inside the sink's own window, end_record() checksums and commits them.
#pragma once

#include <cstdint>
#include <span>

#include "ckpt/image/archive.h"
#include "ckpt/image/format.h"
#include "ckpt/image/stream.h"

namespace drover {

class ImageWriter {
 public:
  explicit ImageWriter(ByteSink& sink);  // writes the header record

  // One object as one or more records. Throws ImageError beyond kMaxObjectBytes.
  void add_bytes(RecordType type, std::span<const std::byte> object);
  template <class T>
  void add(RecordType type, const T& object) {
    OutArchive archive;
    archive& object;
    add_bytes(type, archive.bytes());
  }

  // Room for a payload of at most `bytes` (<= kMaxPayloadBytes); nothing is part of the image before end_record().
  std::span<std::byte> begin_record(std::size_t bytes);
  void end_record(RecordType type, std::uint32_t flags, std::size_t payload_bytes);

  void finish(std::uint64_t pages);  // the end record, and flushes
  std::uint64_t image_bytes() const { return image_bytes_; }

 private:
  ByteSink& sink_;
  std::span<std::byte> window_;
  std::uint32_t sequence_ = 0;
  std::uint64_t image_bytes_ = 0;
};

}  // namespace drover
