// Takes records out of a source, trusting nothing: sizes are bounded before a byte is asked for, the checksum is
// checked before a byte is decoded, records come in sequence, and nothing but whole images ends well.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ckpt/image/archive.h"
#include "ckpt/image/format.h"
#include "ckpt/image/stream.h"

namespace drover {

struct Record {
  RecordType type;
  std::uint16_t version;
  std::uint32_t flags;
  std::span<const std::byte> payload;  // inside the source's window: valid until next() or the end of what keep() gave

  // The payload as one object. Throws ImageError.
  template <class T>
  T decode() const {
    InArchive archive(payload);
    T object{};
    archive& object;
    archive.expect_end();
    return object;
  }
};

class ImageReader {
 public:
  // Reads and checks the header record. Throws ImageError, as every other function here does.
  explicit ImageReader(ByteSource& source);

  // The next record; after the end record there is none, and asking is an error. A Pages record is given as it lies in
  // the stream; any other object is put together from its records first.
  Record next();

  // For as long as that lives the last record's payload stays as it is; null where it can't (ByteSource::keep()).
  std::shared_ptr<const void> keep() { return in_window_ ? source_.keep() : nullptr; }
  std::uint64_t image_bytes() const { return image_bytes_; }

 private:
  Record next_part();
  void check_end(const Record&);

  ByteSource& source_;
  std::size_t unconsumed_ = 0;
  std::uint32_t sequence_ = 0;
  std::uint64_t image_bytes_ = 0;
  bool ended_ = false, in_window_ = false;
  std::vector<std::byte> object_;
};

}  // namespace drover
