// Where image bytes go to and come from: a file, a pipe, or the ring that a rank sends from. The checkpoint library
// does not know which. Both sides hand out windows into their own buffer, so that pages are read from the program
// straight into what will be sent, and written to the program straight from what was received.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace drover {

// No record of an image, header included, is longer than this; every sink and source can hold one in a single window.
inline constexpr std::size_t kMaxRecordBytes = 256 * 1024;

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // A writable window of exactly `bytes` (1 .. kMaxRecordBytes) bytes, valid until the next call on the sink.
  // May block until a reader has made room. Throws SystemError or ImageError.
  virtual std::span<std::byte> reserve(std::size_t bytes) = 0;
  // The first `bytes` of the last window are now part of the stream.
  virtual void commit(std::size_t bytes) = 0;
  // Pushes everything committed so far towards the reader.
  virtual void flush() = 0;
};

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next bytes of the stream: exactly `bytes` (1 .. kMaxRecordBytes) of them, or fewer if the stream ends before.
  // The window is valid until the next call on the source. Blocks. Throws SystemError.
  virtual std::span<const std::byte> peek(std::size_t bytes) = 0;
  // Passes over the first `bytes` of the last window.
  virtual void consume(std::size_t bytes) = 0;
  // For as long as that lives the bytes of the last window stay as they are, whatever the source is asked for; null
  // where it can't do that. To be let go of by the thread that uses the source.
  virtual std::shared_ptr<const void> keep() { return nullptr; }
};

}  // namespace drover
