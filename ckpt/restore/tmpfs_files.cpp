#include "ckpt/restore/tmpfs_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "ckpt/restore/huge_pages.h"

namespace drover {

static std::int64_t mtime_ns(const struct stat& info) {
  return info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
}

// The very file, or one that nobody writes to and that could be no other.
static bool is_the_file(const FileObject& object, const struct stat& here, bool same_boot) {
  if (same_boot && here.st_dev == object.device && here.st_ino == object.inode) return true;
  return !object.written && here.st_mode == object.mode && static_cast<std::uint64_t>(here.st_size) == object.size &&
         mtime_ns(here) == object.mtime_ns;
}

UniqueFd TmpfsFiles::place(const FileObject& object, bool same_boot) {
  struct stat here {};
  UniqueFd fd(::open(object.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd && errno == EEXIST) {
    const bool known = ::lstat(object.path.c_str(), &here) == 0;
    if (!known || !is_the_file(object, here, same_boot))
      refusal_ = Refusal{fmt::format("{} is another file here", object.path)};
    return {};
  }
  if (!fd) {
    refusal_ = Refusal{fmt::format("{} can't be made here: {}", object.path, error_text(errno))};
    return {};
  }
  check(::fstat(fd.get(), &here), "fstat", object.path);
  made_.push_back({object, here});
  if (huge_shift_of(fd.get()) != object.huge_shift) {
    refusal_ = Refusal{fmt::format("{} would have pages of another size here", object.path)};
    return {};
  }
  check(::ftruncate(fd.get(), static_cast<off_t>(object.size)), "ftruncate", object.path);
  return fd;
}

void TmpfsFiles::finish() {
  for (const auto& [object, info] : made_) {
    const char* path = object.path.c_str();
    if (info.st_uid != object.uid || info.st_gid != object.gid)
      check(::lchown(path, object.uid, object.gid), "chown", object.path);
    check(::chmod(path, object.mode & 07777), "chmod", object.path);
    const timespec time{object.mtime_ns / 1'000'000'000, object.mtime_ns % 1'000'000'000};
    const timespec times[] = {time, time};
    check(::utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), "utimensat", object.path);
  }
}

std::vector<std::string> TmpfsFiles::made() const {
  std::vector<std::string> paths;
  for (const auto& [object, info] : made_) paths.push_back(object.path);
  return paths;
}

TmpfsFiles::~TmpfsFiles() {
  for (const auto& [object, info] : made_) {
    struct stat now {};
    if (::lstat(object.path.c_str(), &now) == 0 && now.st_dev == info.st_dev && now.st_ino == info.st_ino)
      ::unlink(object.path.c_str());
  }
}

}  // namespace drover
