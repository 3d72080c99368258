// The payload of a Pages record: a head, the bytes of the pages, and last the list of which pages these are. The list
// comes last because it is known last: pages that turn out to hold only zeros are dropped after they have been read in
// place.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ckpt/image/format.h"

namespace drover {

struct PageRun {
  std::uint64_t address;
  std::uint64_t pages;
};

// Leads the payload; the bytes of all pages follow, in the order of the `runs` PageRuns that end it.
struct PagesHead {
  std::int32_t process;  // pid of the process whose pages these are, in the job's PID namespace
  std::uint32_t round;   // 0 for the only or first copy; a later round supersedes an earlier one page by page
  std::uint32_t runs;
  std::uint32_t pages;  // over all runs
};

// So many pages fit into one record even if each is a run of its own.
inline constexpr std::size_t kMaxPagesPerRecord =
    (kMaxPayloadBytes - sizeof(PagesHead)) / (kPageBytes + sizeof(PageRun));

struct PagesView {
  PagesHead head;
  std::vector<PageRun> runs;
  std::span<const std::byte> bytes;  // LZ4 block or head.pages * kPageBytes
};

// Checks that the runs are page-aligned, ascending, not empty, inside user space, and together what the head says.
// Throws ImageError.
PagesView parse_pages(std::span<const std::byte> payload, std::uint32_t flags);

}  // namespace drover
