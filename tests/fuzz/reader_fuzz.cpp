// Feeds arbitrary bytes to everything that reads an image. The first byte chooses what: checksums would stop nearly all
// inputs at the first record, so decoders are also fed directly. Whatever comes, the answer is a value or an
// ImageError.
#include <cstdint>

#include "ckpt/image/pages.h"
#include "ckpt/image/reader.h"
#include "ckpt/image/state/files.h"
#include "ckpt/image/state/host.h"
#include "ckpt/image/state/ipc.h"
#include "ckpt/image/state/memory.h"
#include "ckpt/image/state/process.h"
#include "ckpt/image/state/signals.h"
#include "ckpt/image/state/thread.h"
#include "ckpt/image/state/timers.h"
#include "tests/unit/ckpt/memory_stream.h"

namespace drover {
namespace {

void read_image(std::span<const std::byte> bytes) {
  MemorySource source(bytes);
  ImageReader reader(source);
  while (reader.next().type != RecordType::End) {
  }
}

template <class T>
void decode(std::span<const std::byte> bytes) {
  Record{RecordType::Host, 1, 0, bytes}.decode<T>();
}

void feed(std::uint8_t choice, std::span<const std::byte> bytes) {
  switch (choice % 14) {
    case 0:
      return decode<HostState>(bytes);
    case 1:
      return decode<ProcessState>(bytes);
    case 2:
      return decode<MemoryState>(bytes);
    case 3:
      return decode<FilesState>(bytes);
    case 4:
      return decode<SignalsState>(bytes);
    case 5:
      return decode<TimersState>(bytes);
    case 6:
      return decode<ThreadState>(bytes);
    case 7:
      return decode<FileDataState>(bytes);
    case 8:
      parse_pages(bytes, 0);
      return;
    case 9:
      parse_pages(bytes, kPagesLz4);
      return;
    case 10:
      return decode<OpenFilesState>(bytes);
    case 11:
      return decode<IpcState>(bytes);
    case 12:
      return decode<IpcDataState>(bytes);
    default:
      return read_image(bytes);
  }
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    drover::feed(data[0], std::as_bytes(std::span(data + 1, size - 1)));
  } catch (const drover::ImageError&) {
  }
  return 0;
}
