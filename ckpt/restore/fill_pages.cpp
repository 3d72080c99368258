// Page contents, from the source's window straight into the process.
#include <lz4.h>

#include "ckpt/image/pages.h"
#include "ckpt/restore/held_process.h"

namespace drover {

static HeldProcess& process_of(std::list<HeldProcess>& processes, std::int32_t pid) {
  for (HeldProcess& held : processes) {
    if (held.pid == pid && !held.zombie()) return held;
  }
  throw ImageError("damaged image: pages of an unknown process");
}

static bool has_own_pages(AreaKind kind) {
  return kind != AreaKind::Vdso && kind != AreaKind::FileShared && kind != AreaKind::NamelessShared &&
         kind != AreaKind::SystemV && kind != AreaKind::AioRing;
}

// Pages may only go where the program has memory with contents of its own, never into our working area.
static void check_place(const HeldProcess& held, const PageRun& run, std::size_t& hint) {
  const auto& areas = held.image.memory.areas;
  const std::uint64_t end = run.address + run.pages * kPageBytes;
  std::uint64_t at = run.address;
  while (hint > 0 && areas[hint].start > at) --hint;
  while (at < end) {
    while (hint < areas.size() && areas[hint].end <= at) ++hint;
    const bool inside = hint < areas.size() && areas[hint].start <= at && has_own_pages(areas[hint].kind);
    if (!inside) throw ImageError("damaged image: pages outside of the program's memory");
    at = areas[hint].end;
  }
  if (hint == areas.size()) hint = areas.size() - 1;
}

static std::span<const std::byte> unpack(const PagesView& pages, std::vector<std::byte>& to) {
  to.resize(pages.head.pages * kPageBytes);
  const int size =
      LZ4_decompress_safe(reinterpret_cast<const char*>(pages.bytes.data()), reinterpret_cast<char*>(to.data()),
                          static_cast<int>(pages.bytes.size()), static_cast<int>(to.size()));
  if (size != static_cast<int>(to.size())) throw ImageError("damaged image: compressed pages of the wrong size");
  return to;
}

void fill_pages(std::list<HeldProcess>& processes, ImageReader& reader) {
  std::size_t hint = 0;
  const HeldProcess* last = nullptr;
  std::vector<iovec> remote;
  std::vector<std::byte> unpacked;
  for (;;) {
    const Record record = reader.next();
    if (record.type == RecordType::End) return;
    if (record.type != RecordType::Pages) throw ImageError("damaged image: a record of unknown type among pages");
    const PagesView pages = parse_pages(record.payload, record.flags);
    if (pages.head.round != 0) throw ImageError("image was copied in rounds, which this program can't read yet");
    HeldProcess& held = process_of(processes, pages.head.process);
    if (&held != last) hint = 0;
    last = &held;
    remote.clear();
    for (const PageRun& run : pages.runs) {
      check_place(held, run, hint);
      remote.push_back({reinterpret_cast<void*>(run.address), run.pages * kPageBytes});
    }
    held.memory.write_ranges(remote, (record.flags & kPagesLz4) != 0 ? unpack(pages, unpacked) : pages.bytes);
  }
}

}  // namespace drover
