// Page contents, from the source's window straight into the process.
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

void fill_pages(std::list<HeldProcess>& processes, ImageReader& reader) {
  std::size_t hint = 0;
  const HeldProcess* last = nullptr;
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
    for (const PageRun& run : pages.runs) check_place(held, run, hint);
    filler.add(held.memory, pages, record.flags);
  }
}

}  // namespace drover
