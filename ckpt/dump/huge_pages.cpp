#include "ckpt/dump/huge_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/dump/sockets.h"

namespace drover {

// A page may exist without being in anybody's page table, as one that a child has written which is gone; neither
// mincore(2), nor pagemap, nor SEEK_DATA tells of those of hugetlbfs. But while somebody wants to know of missing
// pages, a read from outside gives those that there are, and for others an error instead of a page.
// (handle_userfault(): with UFFD_USER_MODE_ONLY the kernel's own accesses fail, Linux >= 5.11.) Nothing of it stays
// when `uffd` is closed, also by our death.
static std::optional<HugePages> try_pages(UniqueFd uffd, const RemoteMemory& memory, std::uint64_t start,
                                          std::uint64_t end, unsigned huge_shift) {
  uffdio_api api{UFFD_API, 0, 0};
  uffdio_register area{{start, end - start}, UFFDIO_REGISTER_MODE_MISSING, 0};
  if (!uffd || ::ioctl(uffd.get(), UFFDIO_API, &api) != 0 || ::ioctl(uffd.get(), UFFDIO_REGISTER, &area) != 0)
    return std::nullopt;
  HugePages there((end - start) >> huge_shift);
  std::byte byte;
  for (std::size_t i = 0; i < there.size(); ++i)
    there[i] = memory.try_read(start + (std::uint64_t{i} << huge_shift), {&byte, 1});
  return there;
}

std::optional<HugePages> find_own_huge_pages(std::uint64_t start, std::uint64_t end, unsigned huge_shift) {
  UniqueFd uffd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY)));
  return try_pages(std::move(uffd), RemoteMemory(::getpid()), start, end, huge_shift);
}

// It speaks of the memory of the process that made it, whoever has it.
std::optional<HugePages> find_huge_pages(const FrozenProcess& process, InjectedArea& injected, const AreaState& area) {
  Batch batch = injected.area().main_batch();
  const std::size_t call = batch.may(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  injected.leader().run(injected.area(), batch);
  const auto fd = static_cast<int>(batch.result(call));
  if (fd < 0) return std::nullopt;
  UniqueFd uffd = borrow(process.pid, fd);
  batch.clear();
  batch.must("close", SYS_close, fd);
  injected.leader().run(injected.area(), batch);
  return try_pages(std::move(uffd), process.memory, area.start, area.end, huge_shift_of(area));
}

std::optional<Refusal> find_mapped_huge_pages(const FrozenProcess& process, InjectedArea& injected,
                                              const MemoryState& memory, TreeObjects& objects) {
  for (const AreaState& area : memory.areas) {
    const bool nameless = area.kind == AreaKind::NamelessShared || area.kind == AreaKind::NamelessPrivate;
    if (!nameless || huge_shift_of(area) == 0) continue;
    TreeObjects::Source& source = objects.sources[area.file];
    if (source.fd >= 0 || !source.path.empty()) continue;
    auto there = find_huge_pages(process, injected, area);
    if (!there)
      return Refusal{fmt::format("maps a file of huge pages that the kernel does not show, at {:#x}", area.start)};
    for (TreeObjects::Mapped& mapped : source.mapped) {
      if (mapped.process == process.pid && mapped.start == area.start) mapped.huge_pages = *there;
    }
  }
  return std::nullopt;
}

}  // namespace drover
