// PAGEMAP_SCAN (Linux >= 6.7): ranges of pages by category, from another process's page tables.
#pragma once

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "ckpt/image/state/memory.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// A page is told of if it is in all of `all`, in none of `none`, and in at least one of `any` (0: no matter).
struct PageCategories {
  std::uint64_t all = 0, none = 0, any = 0;
};

class PageMap {
 public:
  explicit PageMap(pid_t pid)
      : pagemap_(check(::open(proc_path(pid, "pagemap").c_str(), O_RDONLY | O_CLOEXEC), "open",
                       proc_path(pid, "pagemap"))) {}

  template <class Add>
  void scan(const AreaState& area, const PageCategories& wanted, Add&& add) const {
    scan(area.start, area.end, wanted, add);
  }

  // What lies side by side (a thread's stack, its guard, the next one's) at once: add(area, start, end).
  template <class Add>
  void scan_adjacent(std::span<const AreaState> areas, const PageCategories& wanted, Add&& add) const {
    auto area = areas.begin();
    const auto cut = [&](std::uint64_t start, std::uint64_t end) {
      while (start < end) {
        while (area->end <= start) ++area;
        const std::uint64_t here = std::min(end, area->end);
        add(*area, start, here);
        start = here;
      }
    };
    for (std::size_t first = 0, next = 0; first < areas.size(); first = next) {
      for (next = first + 1; next < areas.size() && areas[next].start == areas[next - 1].end;) ++next;
      scan(areas[first].start, areas[next - 1].end, wanted, cut);
    }
  }

  int fd() const { return pagemap_.get(); }

 private:
  template <class Add>
  void scan(std::uint64_t start, std::uint64_t end, const PageCategories& wanted, Add&& add) const {
    std::array<uapi::PageRegion, 512> regions;
    uapi::PagemapScan scan{};
    scan.size = sizeof scan;
    scan.vec = reinterpret_cast<std::uintptr_t>(regions.data());
    scan.vec_len = regions.size();
    scan.category_inverted = wanted.none;
    scan.category_mask = wanted.none | wanted.all;
    scan.category_anyof_mask = wanted.any;
    for (scan.start = start, scan.end = end; scan.start < end; scan.start = scan.walk_end) {
      const int n = check(::ioctl(pagemap_.get(), uapi::kPagemapScan, &scan), "PAGEMAP_SCAN");
      for (int i = 0; i < n; ++i)
        add(regions[static_cast<std::size_t>(i)].start, regions[static_cast<std::size_t>(i)].end);
    }
  }

  UniqueFd pagemap_;
};

}  // namespace drover
