#include "ckpt/dump/tmpfs_files.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <bit>
#include <memory>

namespace drover {

std::optional<Refusal> plan_tmpfs_file(const std::string& path, const struct stat& info, bool written,
                                       const std::string& name, TreeObjects& objects) {
  struct statfs fs {};
  if (::statfs(path.c_str(), &fs) != 0 || (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC))
    return std::nullopt;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > kMaxCarriedBytes && written)
    return Refusal{fmt::format("uses a file in memory of {} MiB, {}", size >> 20, name)};
  if (size > kMaxCarriedBytes) return std::nullopt;
  FileObject object;
  object.kind = ObjectKind::Tmpfs;
  object.path = path;
  object.mode = info.st_mode;
  object.size = size;
  if (fs.f_type == HUGETLBFS_MAGIC)  // has its pages for blocks (hugetlbfs_statfs())
    object.huge_shift = static_cast<std::uint32_t>(std::countr_zero(static_cast<std::uint64_t>(fs.f_bsize)));
  object.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
  object.device = info.st_dev;
  object.inode = info.st_ino;
  object.uid = info.st_uid;
  object.gid = info.st_gid;
  const std::uint32_t number = objects.number_of({info.st_dev, info.st_ino}, object);
  objects.objects[number].written |= written;
  objects.sources[number].path = path;
  return std::nullopt;
}

std::optional<std::string> find_tmpfs_name(const std::string& folder, dev_t device, ino_t inode) {
  struct statfs fs {};
  if (::statfs(folder.c_str(), &fs) != 0 || fs.f_type != TMPFS_MAGIC) return std::nullopt;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), &::closedir);
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    if (entry->d_ino != inode) continue;
    const std::string path = folder + "/" + entry->d_name;
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0 && info.st_dev == device && S_ISREG(info.st_mode)) return path;
  }
  return std::nullopt;
}

}  // namespace drover
