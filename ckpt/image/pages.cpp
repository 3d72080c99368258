#include "ckpt/image/pages.h"

#include <cstring>

#include "ckpt/image/error.h"

namespace drover {

static constexpr std::uint64_t kUserSpaceEnd = std::uint64_t{1} << 56;  // five-level page tables

static std::uint64_t check_runs(const std::vector<PageRun>& runs) {
  std::uint64_t pages = 0, last = 0;
  for (const PageRun& run : runs) {
    const bool sound = run.address % kPageBytes == 0 && run.pages > 0 && run.pages <= kMaxPagesPerRecord &&
                       run.address >= last && run.address < kUserSpaceEnd;
    if (!sound) throw ImageError("damaged image: a page that can't be");
    last = run.address + run.pages * kPageBytes;
    pages += run.pages;
  }
  return pages;
}

PagesView parse_pages(std::span<const std::byte> payload, std::uint32_t flags) {
  PagesView view{};
  if (payload.size() < sizeof view.head) throw ImageError("damaged image: a record of pages is too short");
  std::memcpy(&view.head, payload.data(), sizeof view.head);
  payload = payload.subspan(sizeof view.head);
  if (view.head.runs > kMaxPagesPerRecord || payload.size() < view.head.runs * sizeof(PageRun))
    throw ImageError("damaged image: a record of pages is too short");
  const std::size_t list_bytes = view.head.runs * sizeof(PageRun);
  view.bytes = payload.first(payload.size() - list_bytes);
  view.runs.resize(view.head.runs);
  if (list_bytes != 0) std::memcpy(view.runs.data(), payload.data() + view.bytes.size(), list_bytes);
  const bool fits = check_runs(view.runs) == view.head.pages && view.head.pages <= kMaxPagesPerRecord &&
                    ((flags & kPagesLz4) != 0 || view.bytes.size() == view.head.pages * kPageBytes);
  if (!fits) throw ImageError("damaged image: pages and their list do not fit");
  return view;
}

}  // namespace drover
