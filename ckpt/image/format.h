// The outer form of an image; FORMAT.md is its specification.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ckpt/image/stream.h"

namespace drover {

// Never renumber, never reuse: images outlive programs.
enum class RecordType : std::uint16_t {
  Header = 1,
  Host = 2,
  Context = 3,
  Process = 4,
  Memory = 5,
  Files = 6,
  Signals = 7,
  Timers = 8,
  Thread = 9,
  FileData = 10,     // content of a file that travels
  MetadataEnd = 11,  // everything a restorer must know before the first process is made has been sent
  Pages = 12,
  OpenFiles = 13,
  Ipc = 16,
  IpcData = 17,  // content of a System V segment
  End = 0xffff,
};

enum RecordFlag : std::uint32_t {
  kMoreFollows = 1,  // the object goes on in the next record, which has the same type
  kPagesLz4 = 2,     // the page bytes of a Pages record are one LZ4 block
};

// Little-endian, without padding; the checksum is XXH3-64 of the payload, seeded with XXH3-64 of the bytes before it.
struct RecordHeader {
  std::uint16_t type;
  std::uint16_t version;
  std::uint32_t flags;
  std::uint32_t payload_bytes;
  std::uint32_t sequence;  // 0, 1, 2, ...: a lost, repeated or exchanged record is found
  std::uint64_t checksum;
};
static_assert(sizeof(RecordHeader) == 24);

inline constexpr std::uint64_t kImageMagic = 0x314d495256524400;  // "\0DRVRIM1"
inline constexpr std::uint32_t kFormatVersion = 7;
inline constexpr std::uint32_t kMachineX86_64 = 62;  // EM_X86_64
inline constexpr std::size_t kMaxPayloadBytes = kMaxRecordBytes - sizeof(RecordHeader);
inline constexpr std::size_t kMaxObjectBytes = 64 * 1024 * 1024;  // one object over all its records
inline constexpr std::size_t kPageBytes = 4096;

// Payload of the Header record.
struct ImageHeader {
  std::uint64_t magic;
  std::uint32_t format_version;
  std::uint32_t machine;
  std::uint32_t page_bytes;
  std::uint32_t reserved;
};
static_assert(sizeof(ImageHeader) == 24);

// Payload of the End record.
struct ImageTrailer {
  std::uint64_t image_bytes;  // before this record
  std::uint64_t pages;        // over all Pages records
};

std::uint64_t record_checksum(const RecordHeader&, const std::byte* payload);

}  // namespace drover
