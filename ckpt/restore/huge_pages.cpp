#include "ckpt/restore/huge_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <map>

#include "ckpt/image/error.h"
#include "ckpt/sys/text.h"

namespace drover {

int huge_page_flags(unsigned huge_shift) {
  return huge_shift == 0 ? 0 : static_cast<int>(huge_shift << kAreaHugeShift | MAP_HUGETLB);
}

unsigned memfd_flags(unsigned huge_shift) {
  return huge_shift == 0 ? 0 : MFD_HUGETLB | huge_shift << 26;  // MFD_HUGE_SHIFT
}

unsigned huge_shift_of(int fd) {
  struct statfs fs {};
  if (::fstatfs(fd, &fs) != 0 || fs.f_type != HUGETLBFS_MAGIC) return 0;
  return static_cast<unsigned>(std::countr_zero(static_cast<std::uint64_t>(fs.f_bsize)));
}

static Refusal too_few(std::uint64_t pages, unsigned huge_shift, const std::string& why) {
  return Refusal{fmt::format("needs {} huge pages of {} KiB, {}", pages, (std::uint64_t{1} << huge_shift) / 1024, why)};
}

namespace {

// Mapping a part of a file shared reserves the pages that it lacks, or fails; they stay the file's when the mapping
// goes (hugetlb_reserve_pages()).
class SharedPart {
 public:
  SharedPart(int fd, std::uint64_t start, std::uint64_t end)
      : at_(::mmap(nullptr, end - start, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(start))),
        bytes_(end - start) {}
  SharedPart(const SharedPart&) = delete;
  SharedPart& operator=(const SharedPart&) = delete;
  ~SharedPart() {
    if (*this) ::munmap(at_, bytes_);
  }
  explicit operator bool() const { return at_ != MAP_FAILED; }
  std::byte* begin() const { return static_cast<std::byte*>(at_); }

 private:
  void* at_;
  std::uint64_t bytes_;
};

}  // namespace

// There is no write(2) for these files. By way of a system call an error stays one, which a store would make a SIGBUS:
// a control group may have fewer pages than the machine.
std::optional<Refusal> write_huge_pages(int fd, const FileObject& object, const FileDataState& piece) {
  if (piece.offset > object.size || piece.bytes.size() > object.size - piece.offset)
    throw ImageError("damaged image: more in a file than fits");
  if (piece.bytes.empty()) return std::nullopt;
  const std::uint64_t page = std::uint64_t{1} << object.huge_shift;
  const std::uint64_t start = piece.offset / page * page;
  const std::uint64_t end = (piece.offset + piece.bytes.size() + page - 1) / page * page;
  const SharedPart part(fd, start, end);
  if (!part) return too_few((end - start) / page, object.huge_shift, error_text(errno));
  const iovec from{const_cast<std::byte*>(piece.bytes.data()), piece.bytes.size()};
  const iovec to{part.begin() + (piece.offset - start), piece.bytes.size()};
  if (::process_vm_writev(::getpid(), &from, 1, &to, 1, 0) == static_cast<ssize_t>(from.iov_len)) return std::nullopt;
  return too_few((end - start) / page, object.huge_shift, error_text(errno));
}

static std::optional<Refusal> reserve_for(const AreaState& area, int fd, std::uint64_t file_bytes) {
  const std::uint64_t end = std::min(area.offset + area.bytes(), file_bytes);
  if (fd < 0 || area.offset >= end || SharedPart(fd, area.offset, end)) return std::nullopt;
  return too_few((end - area.offset) >> huge_shift_of(area), huge_shift_of(area), error_text(errno));
}

std::optional<Refusal> reserve_huge_pages(const ImageModel& model, const FileTable& files) {
  for (const ProcessImage& image : model.processes) {
    for (const AreaState& area : image.memory.areas) {
      if (huge_shift_of(area) == 0 || (area.flags & kAreaNoReserve) != 0) continue;
      std::optional<Refusal> refusal;
      if (area.kind == AreaKind::NamelessShared) {
        refusal = reserve_for(area, files.objects()[area.file].get(), model.open_files.objects[area.file].size);
      } else if (area.kind == AreaKind::FileShared) {
        const FileIdentity& file = image.memory.files[area.file];
        const UniqueFd fd(::open(file.path.c_str(), O_RDWR | O_CLOEXEC));
        if (huge_shift_of(fd.get()) == huge_shift_of(area)) refusal = reserve_for(area, fd.get(), file.size);
      }
      if (refusal) return refusal;
    }
  }
  return std::nullopt;
}

static std::uint64_t count_free(std::uint64_t kib) {
  const auto ask = [kib](const char* name) {
    const auto text = try_read_text(fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB/{}", kib, name));
    std::string_view line, rest = text ? std::string_view(*text) : std::string_view();
    return next_line(rest, line) ? to_number(line).value_or(0) : 0;
  };
  const std::uint64_t more =
      std::max(ask("nr_overcommit_hugepages"), ask("surplus_hugepages")) - ask("surplus_hugepages");
  return std::max(ask("free_hugepages"), ask("resv_hugepages")) - ask("resv_hugepages") + more;
}

// A mapping of huge pages takes them out of the pool at once, which is of the whole machine; a shared one once for all.
std::optional<Refusal> check_huge_pages(const ImageModel& model) {
  std::map<unsigned, std::uint64_t> needed;  // pages by the logarithm of their size
  std::map<std::uint32_t, std::uint64_t> shared;
  for (const ProcessImage& image : model.processes) {
    for (const AreaState& area : image.memory.areas) {
      const unsigned size = huge_shift_of(area);
      if (size == 0 || (area.flags & kAreaNoReserve) != 0) continue;
      if (area.kind == AreaKind::SharedAnonymous) {
        std::uint64_t& known = shared[area.file];
        const std::uint64_t pages = std::max(known, (area.offset + area.bytes()) >> size);
        needed[size] += pages - known;
        known = pages;
      } else if (area.kind == AreaKind::Anonymous || area.kind == AreaKind::NamelessPrivate ||
                 area.kind == AreaKind::FilePrivate) {
        needed[size] += area.bytes() >> size;
      }
    }
  }
  for (const auto& [size, pages] : needed) {
    const std::uint64_t free = count_free((std::uint64_t{1} << size) / 1024);
    if (pages > free) return too_few(pages, size, fmt::format("{} are free here", free));
  }
  return std::nullopt;
}

}  // namespace drover
