#include "ckpt/restore/missing_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "ckpt/image/format.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/text.h"

namespace drover {

namespace {

// Documentation/admin-guide/mm/transhuge.rst: "always [madvise] never". A huge page is cleared and filled faster than
// 512 small ones are made, and the program had them.
enum class HugePages { Never, WhereAdvised, Everywhere };

HugePages huge_pages_of_system() {
  static const HugePages setting = [] {
    const std::string text = try_read_text("/sys/kernel/mm/transparent_hugepage/enabled").value_or("");
    if (text.find("[always]") != std::string::npos) return HugePages::Everywhere;
    return text.find("[madvise]") != std::string::npos ? HugePages::WhereAdvised : HugePages::Never;
  }();
  return setting;
}

bool gets_huge_pages(const AreaState& area) {
  const HugePages setting = huge_pages_of_system();
  if (setting == HugePages::Never || (area.flags & kAreaNoHugePages) != 0) return false;
  return setting == HugePages::Everywhere || (area.flags & kAreaHugePages) != 0;
}

// Less is not worth a system call.
constexpr std::uint64_t kSmall = 64 * kPageBytes;

bool is_eligible(const AreaState& area) {
  return area.kind == AreaKind::Anonymous && huge_shift_of(area) == 0 && (area.flags & kAreaGrowsDown) == 0 &&
         area.bytes() >= kSmall && !gets_huge_pages(area);
}

}  // namespace

// Made by the process itself, since it is for the memory of who makes it; used by us.
std::optional<MissingPages> MissingPages::of(HeldProcess& held) {
  if (!kernel_features().userfaultfd) return std::nullopt;
  Batch batch = held.batch();
  const std::size_t made = batch.may(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  held.run(batch);
  const auto number = static_cast<int>(batch.result(made));
  if (number < 0) return std::nullopt;
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, held.pid, 0)));
  UniqueFd fd(process ? static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)) : -1);
  batch.clear();
  batch.must("close", SYS_close, number);
  held.run(batch);
  uffdio_api api{};
  api.api = UFFD_API;
  if (!fd || ::ioctl(fd.get(), UFFDIO_API, &api) != 0) return std::nullopt;
  return MissingPages(std::move(fd));
}

bool MissingPages::covers(const AreaState& area, std::size_t index) {
  if (areas_.size() <= index) areas_.resize(index + 1);
  Covered& covered = areas_[index];
  if (covered == Covered::Unknown) {
    uffdio_register range{};
    range.range = {area.start, area.bytes()};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    const bool yes = is_eligible(area) && ::ioctl(fd_.get(), UFFDIO_REGISTER, &range) == 0;
    covered = yes ? Covered::Yes : Covered::No;
  }
  return covered == Covered::Yes;
}

void MissingPages::fill(const RemoteMemory& memory, std::uint64_t address, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    uffdio_copy copy{};
    copy.dst = address;
    copy.src = reinterpret_cast<std::uint64_t>(bytes.data());
    copy.len = bytes.size();
    copy.mode = UFFDIO_COPY_MODE_DONTWAKE;  // nobody waits: the process stands still
    if (::ioctl(fd_.get(), UFFDIO_COPY, &copy) == 0) return;
    std::size_t done = copy.copy > 0 ? static_cast<std::size_t>(copy.copy) : 0;
    if (done == 0 && errno == EEXIST) {
      done = kPageBytes;
      memory.write(address, bytes.first(done));
    } else if (errno != EAGAIN) {
      throw SystemError("UFFDIO_COPY", fmt::format("pid {} at {:#x}", memory.pid(), address), errno);
    }
    address += done;
    bytes = bytes.subspan(done);
  }
}

}  // namespace drover
