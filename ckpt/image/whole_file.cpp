#include "ckpt/image/whole_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "ckpt/image/error.h"
#include "ckpt/image/format.h"
#include "ckpt/sys/error.h"

namespace drover {

void expect_whole_file(int fd) {
  struct {
    RecordHeader header;
    std::uint64_t magic;
  } first{};
  if (check(::pread(fd, &first, sizeof first, 0), "read", "image") < static_cast<ssize_t>(sizeof first) ||
      first.magic != kImageMagic)
    throw ImageError("not a Drover image");
  struct {
    RecordHeader header;
    ImageTrailer trailer;
  } last{};
  static_assert(sizeof last == sizeof last.header + sizeof last.trailer);
  struct stat file {};
  check(::fstat(fd, &file), "fstat", "image");
  const off_t at = file.st_size - static_cast<off_t>(sizeof last);
  const bool whole =
      at > 0 && check(::pread(fd, &last, sizeof last, at), "read", "image") == sizeof last &&
      last.header.type == static_cast<std::uint16_t>(RecordType::End) &&
      last.header.payload_bytes == sizeof last.trailer &&
      last.header.checksum == record_checksum(last.header, reinterpret_cast<const std::byte*>(&last.trailer)) &&
      last.trailer.image_bytes == static_cast<std::uint64_t>(at);
  if (!whole) throw ImageError("image is truncated");
}

}  // namespace drover
