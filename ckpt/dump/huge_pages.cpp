#include "ckpt/dump/huge_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ckpt/sys/text.h"

namespace drover {

// A page may exist without being in anybody's page table, as one that a child has written which is gone; neither
// mincore(2), nor pagemap, nor SEEK_DATA tells of those of hugetlbfs. But while somebody wants to know of missing
// pages, a system call that reads from memory gets those that there are, and for others an error instead of a page.
// (handle_userfault(): with UFFD_USER_MODE_ONLY the kernel's own accesses fail, Linux >= 5.11.)
static constexpr int kUffdFlags = O_CLOEXEC | UFFD_USER_MODE_ONLY;

static uffdio_register missing_in(std::uint64_t start, std::uint64_t bytes) {
  return {{start, bytes}, UFFDIO_REGISTER_MODE_MISSING, 0};
}

std::optional<HugePages> find_own_huge_pages(std::uint64_t start, std::uint64_t end, unsigned huge_shift) {
  const UniqueFd uffd(static_cast<int>(::syscall(SYS_userfaultfd, kUffdFlags)));
  uffdio_api api{UFFD_API, 0, 0};
  uffdio_register area = missing_in(start, end - start);
  if (!uffd || ::ioctl(uffd.get(), UFFDIO_API, &api) != 0 || ::ioctl(uffd.get(), UFFDIO_REGISTER, &area) != 0)
    return std::nullopt;
  HugePages there((end - start) >> huge_shift);
  const RemoteMemory memory(::getpid());
  std::byte byte;
  for (std::size_t i = 0; i < there.size(); ++i)
    there[i] = memory.try_read(start + (std::uint64_t{i} << huge_shift), {&byte, 1});
  return there;
}

// The number that the next descriptor of the process will have.
static int free_descriptor(pid_t pid) {
  int free = 0;
  for (const int fd : list_numbers(proc_path(pid, "fd"))) {
    if (fd != free) break;
    ++free;
  }
  return free;
}

// In one batch, which runs to its end even if we are killed: the program must not be left with a descriptor, let alone
// with page faults that nobody answers. A call that changes nothing tells of a page: rt_sigprocmask(2) reads the mask
// (EFAULT) before it finds that it is told to do nothing that it knows (EINVAL).
static bool find_part(const FrozenProcess& process, InjectedArea& injected, const AreaState& area, std::uint64_t start,
                      std::uint64_t end, HugePages& there) {
  constexpr int kUnknown = 99;
  const int fd = free_descriptor(process.pid);
  const bool readable = (area.prot & (PROT_READ | PROT_WRITE)) != 0;
  Batch batch = injected.area().main_batch();
  const std::size_t opened = batch.may(SYS_userfaultfd, kUffdFlags);
  batch.may(SYS_ioctl, fd, UFFDIO_API, batch.push_value(uffdio_api{UFFD_API, 0, 0}));
  const auto range = batch.push_value(missing_in(start, end - start));
  const std::size_t registered = batch.may(SYS_ioctl, fd, UFFDIO_REGISTER, range);
  if (!readable) batch.may(SYS_mprotect, start, end - start, PROT_READ);
  const std::size_t first = batch.size();
  const std::uint64_t page = std::uint64_t{1} << huge_shift_of(area);
  for (std::uint64_t at = start; at < end; at += page) batch.may(SYS_rt_sigprocmask, kUnknown, at, 0, 8);
  if (!readable) batch.may(SYS_mprotect, start, end - start, area.prot);
  batch.may(SYS_close, fd);
  injected.leader().run(injected.area(), batch);
  if (batch.result(opened) != fd || batch.result(registered) != 0) return false;
  for (std::size_t i = 0; start + i * page < end; ++i) there.push_back(batch.result(first + i) == -EINVAL);
  return true;
}

std::optional<HugePages> find_huge_pages(const FrozenProcess& process, InjectedArea& injected, const AreaState& area) {
  constexpr std::uint64_t kPagesAtOnce = 1024;
  if (area.key != 0) return std::nullopt;  // whether the thread may read it depends on more than what there is
  HugePages there;
  const std::uint64_t step = kPagesAtOnce << huge_shift_of(area);
  for (std::uint64_t at = area.start; at < area.end; at += step) {
    if (!find_part(process, injected, area, at, std::min(area.end, at + step), there)) return std::nullopt;
  }
  return there;
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
