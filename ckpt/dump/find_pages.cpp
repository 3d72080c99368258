// Which pages must travel: those that the program has written to, and only where the kernel holds something for them.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/dump/collect.h"
#include "ckpt/dump/huge_pages.h"
#include "ckpt/dump/page_map.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/uapi.h"

namespace drover {

namespace {

class PageFinder {
 public:
  explicit PageFinder(pid_t pid) : map_(pid) {}

  // Of neighbours in the list.
  void find_private(std::span<const AreaState> areas) {
    if (kernel_features().pagemap_scan) return scan(areas);
    for (const AreaState& area : areas) read_entries(area);
  }

  void add(std::uint64_t start, std::uint64_t end) {
    if (!runs_.empty() && runs_.back().address + runs_.back().pages * kPageBytes == start)
      runs_.back().pages += (end - start) / kPageBytes;
    else
      runs_.push_back({start, (end - start) / kPageBytes});
  }

  std::vector<PageRun> take() { return std::move(runs_); }

 private:
  // Present or swapped out, and neither the file's own page, nor the zero page, nor a guard, which counts as swapped.
  void scan(std::span<const AreaState> areas) {
    PageCategories wanted{.none = uapi::kPageIsFile | uapi::kPageIsPfnZero,
                          .any = uapi::kPageIsPresent | uapi::kPageIsSwapped};
    if (kernel_features().guard_scan) wanted.none |= uapi::kPageIsGuard;
    map_.scan_adjacent(areas, wanted,
                       [this](const AreaState&, std::uint64_t start, std::uint64_t end) { add(start, end); });
  }

  // Bit 63 present, 62 swapped, 61 file or shared (Documentation/admin-guide/mm/pagemap.rst).
  void read_entries(const AreaState& area) {
    std::vector<std::uint64_t> entries(8192);
    for (std::uint64_t at = area.start; at < area.end;) {
      const std::size_t pages = std::min<std::uint64_t>(entries.size(), (area.end - at) / kPageBytes);
      const ssize_t n =
          check(::pread(map_.fd(), entries.data(), pages * 8, static_cast<off_t>(at / kPageBytes * 8)), "read pagemap");
      if (n <= 0) return;
      for (std::size_t i = 0; i < static_cast<std::size_t>(n) / 8; ++i, at += kPageBytes) {
        if ((entries[i] >> 62) != 0 && (entries[i] >> 61 & 1) == 0) add(at, at + kPageBytes);
      }
    }
  }

  PageMap map_;
  std::vector<PageRun> runs_;
};

}  // namespace

namespace {

// Pages of an area of shared memory that no area before has shown.
class SharedFinder {
 public:
  SharedFinder(const AreaState& area, std::vector<bool>& found, PageFinder& finder)
      : area_(area), found_(found), finder_(finder) {
    found.resize(std::max(found.size(), (area.offset + area.bytes()) / kPageBytes));
  }

  void add(std::uint64_t at) {
    auto page = found_[(area_.offset + (at - area_.start)) / kPageBytes];
    if (!page) finder_.add(at, at + kPageBytes);
    page = true;
  }

 private:
  const AreaState& area_;
  std::vector<bool>& found_;
  PageFinder& finder_;
};

}  // namespace

// Shared memory: a page may exist without this process having it in its page table, so the tables do not tell.
// mincore() does, except for pages in swap; with any of those every page is read.
static void find_shared(InjectedArea& injected, const RemoteMemory& memory, const AreaState& area, bool swapped,
                        SharedFinder found) {
  constexpr std::uint64_t kPagesAtOnce = 128 * 1024;
  if (swapped) {
    for (std::uint64_t at = area.start; at < area.end; at += kPageBytes) found.add(at);
    return;
  }
  for (std::uint64_t at = area.start; at < area.end;) {
    const std::uint64_t pages = std::min<std::uint64_t>(kPagesAtOnce, (area.end - at) / kPageBytes);
    Batch batch = injected.area().main_batch();
    const std::uint64_t out = batch.space(pages);
    batch.must("mincore", SYS_mincore, at, pages * kPageBytes, out);
    injected.leader().run(injected.area(), batch);
    std::vector<std::byte> there(pages);
    memory.read(out, there);
    for (const std::byte resident : there) {
      if ((resident & std::byte{1}) != std::byte{0}) found.add(at);
      at += kPageBytes;
    }
  }
}

static std::optional<Refusal> find_shared_huge(const FrozenProcess& process, InjectedArea& injected,
                                               const AreaState& area, SharedFinder found) {
  const auto there = find_huge_pages(process, injected, area);
  if (!there) return Refusal{fmt::format("shares huge pages that the kernel does not show, at {:#x}", area.start)};
  for (std::uint64_t at = area.start; at < area.end; at += kPageBytes) {
    if ((*there)[(at - area.start) >> huge_shift_of(area)]) found.add(at);
  }
  return std::nullopt;
}

static bool is_private(const AreaState& area) {
  return area.kind == AreaKind::Anonymous || area.kind == AreaKind::FilePrivate ||
         area.kind == AreaKind::NamelessPrivate;
}

Or<std::vector<PageRun>> find_pages(const FrozenProcess& process, InjectedArea& injected, const MemoryState& memory,
                                    const std::vector<Mapping>& mappings, SharedPages& shared) {
  PageFinder finder(process.pid);
  const std::span<const AreaState> areas(memory.areas);
  for (std::size_t i = 0, next = 0; i < areas.size(); i = next) {
    const AreaState& area = areas[i];
    for (next = i; next < areas.size() && is_private(areas[next]);) ++next;
    if (next > i) {
      finder.find_private(areas.subspan(i, next - i));
      continue;
    }
    next = i + 1;
    if (area.kind == AreaKind::SharedAnonymous && huge_shift_of(area) != 0) {
      if (auto refusal = find_shared_huge(process, injected, area, {area, shared[area.file], finder})) return *refusal;
    } else if (area.kind == AreaKind::SharedAnonymous) {
      const auto same = [&](const Mapping& m) { return m.start == area.start; };
      const auto mapping = std::find_if(mappings.begin(), mappings.end(), same);
      find_shared(injected, process.memory, area, mapping == mappings.end() || mapping->swap_kib != 0,
                  {area, shared[area.file], finder});
    }
  }
  return finder.take();
}

}  // namespace drover
