// Page contents, from the source's window straight into the process.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "ckpt/image/pages.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/restore/page_filler.h"

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

// Pages may only go where the program has memory with contents of its own, never into our working area. Adds to
// `closed` the areas among them that can't be written to yet.
static void check_place(HeldProcess& held, const PageRun& run, std::size_t& hint, std::vector<std::size_t>& closed) {
  const auto& areas = held.image.memory.areas;
  const std::uint64_t end = run.address + run.pages * kPageBytes;
  std::uint64_t at = run.address;
  while (hint > 0 && areas[hint].start > at) --hint;
  while (at < end) {
    while (hint < areas.size() && areas[hint].end <= at) ++hint;
    const bool inside = hint < areas.size() && areas[hint].start <= at && has_own_pages(areas[hint].kind);
    if (!inside) throw ImageError("damaged image: pages outside of the program's memory");
    if (held.closed_areas[hint]) closed.push_back(hint);
    held.closed_areas[hint] = false;
    at = areas[hint].end;
  }
  if (hint == areas.size()) hint = areas.size() - 1;
}

// finish_memory() closes them again.
static void open_areas(HeldProcess& held, std::span<const std::size_t> closed) {
  constexpr std::size_t kEntryRoom = 1024;
  Batch batch = held.batch();
  for (const std::size_t index : closed) {
    const AreaState& area = held.image.memory.areas[index];
    held.make_room(batch, kEntryRoom);
    batch.must(fmt::format("mprotect {:#x}", area.start), SYS_mprotect, area.start, area.bytes(),
               area.prot | PROT_READ | PROT_WRITE);
  }
  held.run(batch);
}

void fill_pages(std::list<HeldProcess>& processes, ImageReader& reader) {
  std::size_t hint = 0;
  const HeldProcess* last = nullptr;
  std::vector<std::size_t> closed;
  PageFiller filler;
  for (;;) {
    const Record record = reader.next();
    if (record.type == RecordType::End) return filler.finish();
    if (record.type != RecordType::Pages) throw ImageError("damaged image: a record of unknown type among pages");
    const PagesView pages = parse_pages(record.payload, record.flags);
    if (pages.head.round != 0) throw ImageError("image was copied in rounds, which this program can't read yet");
    HeldProcess& held = process_of(processes, pages.head.process);
    if (&held != last) hint = 0;
    last = &held;
    closed.clear();
    for (const PageRun& run : pages.runs) check_place(held, run, hint, closed);
    if (!closed.empty()) open_areas(held, closed);
    filler.add(held.memory, pages, record.flags);
  }
}

}  // namespace drover
