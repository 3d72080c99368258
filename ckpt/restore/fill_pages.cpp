// Page contents, from the source's window straight into the process.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <map>
#include <optional>

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

namespace {

struct Places {
  std::vector<PagePlace> all;
  std::vector<std::size_t> closed;  // areas that can't be written to yet
};

// A process that pages come for.
struct Filling {
  static constexpr int kMany = 16;  // records: a smaller process has been filled before that is worth its calls
  int records = 0;
  std::optional<MissingPages> missing;
};

}  // namespace

// Pages may only go where the program has memory with contents of its own, never into our working area.
static void find_places(HeldProcess& held, const PageRun& run, MissingPages* missing, std::size_t& hint,
                        Places& places) {
  const auto& areas = held.image.memory.areas;
  const std::uint64_t end = run.address + run.pages * kPageBytes;
  std::uint64_t at = run.address;
  while (hint > 0 && areas[hint].start > at) --hint;
  while (at < end) {
    while (hint < areas.size() && areas[hint].end <= at) ++hint;
    const bool inside = hint < areas.size() && areas[hint].start <= at && has_own_pages(areas[hint].kind);
    if (!inside) throw ImageError("damaged image: pages outside of the program's memory");
    if (held.closed_areas[hint]) places.closed.push_back(hint);
    held.closed_areas[hint] = false;
    const bool covered = missing != nullptr && missing->covers(areas[hint], hint);
    const std::uint64_t until = std::min(end, areas[hint].end);
    places.all.push_back({at, until - at, covered ? missing : nullptr});
    at = until;
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
  Places places;
  std::map<pid_t, Filling> fillings;  // outlives the filler's other thread
  const PageFiller::Keep keep = [&reader] { return reader.keep(); };
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
    Filling& filling = fillings[held.pid];
    if (++filling.records == Filling::kMany) {
      filler.drain();  // what is to be written into areas that can't be from now on
      filling.missing = MissingPages::of(held);
    }
    MissingPages* missing = filling.missing ? &*filling.missing : nullptr;
    places.all.clear();
    places.closed.clear();
    for (const PageRun& run : pages.runs) find_places(held, run, missing, hint, places);
    if (!places.closed.empty()) open_areas(held, places.closed);
    filler.add(held.memory, places.all, pages, record.flags, keep);
  }
}

}  // namespace drover
