// Page contents: read by the kernel straight into the sink's window, looked at for zeros while they are in the cache:
// a page of zeros is what a restored program has anyway, but where it hides a file's.
#include <lz4.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "ckpt/dump/collect.h"

namespace drover {

static bool is_zero(const std::byte* page) {
  // Compares the page with itself, shifted by 16 bytes: memcmp stops at the first difference and is vectorised.
  std::uint64_t first[2];
  std::memcpy(first, page, sizeof first);
  return (first[0] | first[1]) == 0 && std::memcmp(page, page + sizeof first, kPageBytes - sizeof first) == 0;
}

namespace {

class PageWriter {
 public:
  PageWriter(const FrozenProcess& process, const MemoryState& memory, bool compress, ImageWriter& writer,
             DumpStats& stats)
      : process_(process), memory_(memory), compress_(compress), writer_(writer), stats_(stats) {}

  void add(PageRun run) {
    while (run.pages > 0) {
      const std::uint64_t part = std::min<std::uint64_t>(run.pages, kMaxPagesPerRecord - pages_);
      runs_.push_back({run.address, part});
      pages_ += part;
      run.address += part * kPageBytes;
      run.pages -= part;
      if (pages_ == kMaxPagesPerRecord) flush();
    }
  }

  void flush() {
    if (pages_ == 0) return;
    const auto payload = writer_.begin_record(kMaxPayloadBytes);
    const auto bytes = payload.subspan(sizeof(PagesHead), pages_ * kPageBytes);
    std::vector<iovec> remote;
    for (const PageRun& run : runs_) remote.push_back({reinterpret_cast<void*>(run.address), run.pages * kPageBytes});
    process_.memory.read_ranges(remote, bytes);
    drop_zeros(bytes);
    if (pages_ > 0) finish(payload);
    runs_.clear();
    pages_ = 0;
  }

 private:
  bool hides_file(std::uint64_t address) const {
    const auto area = std::upper_bound(memory_.areas.begin(), memory_.areas.end(), address,
                                       [](std::uint64_t at, const AreaState& one) { return at < one.end; });
    if (area == memory_.areas.end()) return false;
    const bool of_file = area->kind == AreaKind::FilePrivate && !S_ISCHR(memory_.files[area->file].mode);  // /dev/zero
    return of_file || area->kind == AreaKind::NamelessPrivate;
  }

  // Moves the pages that hold something together and makes the list of them anew.
  void drop_zeros(std::span<std::byte> bytes) {
    std::vector<PageRun> kept;
    std::size_t from = 0, to = 0;
    for (const PageRun& run : runs_) {
      for (std::uint64_t i = 0; i < run.pages; ++i, from += kPageBytes) {
        const std::uint64_t address = run.address + i * kPageBytes;
        if (is_zero(&bytes[from]) && !hides_file(address)) continue;
        if (!kept.empty() && kept.back().address + kept.back().pages * kPageBytes == address)
          ++kept.back().pages;
        else
          kept.push_back({address, 1});
        if (from != to) std::memcpy(&bytes[to], &bytes[from], kPageBytes);
        to += kPageBytes;
      }
    }
    stats_.zero_pages += (from - to) / kPageBytes;
    runs_ = std::move(kept);
    pages_ = to / kPageBytes;
  }

  void finish(std::span<std::byte> payload) {
    const PagesHead head{process_.pid, 0, static_cast<std::uint32_t>(runs_.size()), static_cast<std::uint32_t>(pages_)};
    std::memcpy(payload.data(), &head, sizeof head);
    std::uint32_t flags = 0;
    const std::size_t bytes =
        compress_ ? squeeze(payload.subspan(sizeof head, pages_ * kPageBytes), flags) : pages_ * kPageBytes;
    const std::size_t list_at = sizeof head + bytes;
    std::memcpy(&payload[list_at], runs_.data(), runs_.size() * sizeof(PageRun));
    writer_.end_record(RecordType::Pages, flags, list_at + runs_.size() * sizeof(PageRun));
    stats_.page_bytes += pages_ * kPageBytes;
  }

  // Puts the LZ4 block in the place of the pages if it is smaller; returns how many bytes they take now.
  std::size_t squeeze(std::span<std::byte> pages, std::uint32_t& flags) {
    block_.resize(pages.size());
    const int size =
        LZ4_compress_default(reinterpret_cast<const char*>(pages.data()), reinterpret_cast<char*>(block_.data()),
                             static_cast<int>(pages.size()), static_cast<int>(block_.size()) - 1);
    if (size <= 0) return pages.size();
    flags |= kPagesLz4;
    std::memcpy(pages.data(), block_.data(), static_cast<std::size_t>(size));
    return static_cast<std::size_t>(size);
  }

  const FrozenProcess& process_;
  const MemoryState& memory_;
  bool compress_;
  std::vector<std::byte> block_;
  ImageWriter& writer_;
  DumpStats& stats_;
  std::vector<PageRun> runs_;
  std::size_t pages_ = 0;
};

}  // namespace

void write_pages(const FrozenProcess& process, const MemoryState& memory, const std::vector<PageRun>& runs,
                 bool compress, ImageWriter& writer, DumpStats& stats) {
  PageWriter pages(process, memory, compress, writer, stats);
  for (const PageRun& run : runs) pages.add(run);
  pages.flush();
}

}  // namespace drover
