// Which pages of shared memory in huge pages (hugetlbfs) there are. To find out must not make any: each is a large
// piece of what the machine has set aside, and where nothing is left it would be a SIGBUS.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "ckpt/dump/obstacles.h"
#include "ckpt/freeze/injected_area.h"
#include "ckpt/image/state/memory.h"

namespace drover {

// For each huge page of [start, end) in our own memory, or of an area of the process: is there one? Empty if the kernel
// does not let us know (userfaultfd(2), Linux >= 5.11).
using HugePages = std::vector<bool>;
std::optional<HugePages> find_own_huge_pages(std::uint64_t start, std::uint64_t end, unsigned huge_shift);
std::optional<HugePages> find_huge_pages(const FrozenProcess&, InjectedArea&, const AreaState&);

// Most of a huge page may never have been written to.
inline bool all_zero(std::span<const std::byte> bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

// Of all areas of a process whose object can be read in no other way.
std::optional<Refusal> find_mapped_huge_pages(const FrozenProcess&, InjectedArea&, const MemoryState&, TreeObjects&);

}  // namespace drover
