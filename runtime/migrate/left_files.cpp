#include "runtime/migrate/left_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

namespace {

using Key = std::pair<std::uint64_t, std::uint64_t>;  // device, inode

// Whether anybody has one of some files.
class Holders {
 public:
  explicit Holders(const std::vector<MemoryFile>& files) {
    for (const MemoryFile& file : files) holders_[{file.device, file.inode}] = 0;
  }

  void look_at_all() {
    for (const int pid : list_numbers("/proc")) {
      try {
        look_at(pid);
      } catch (const SystemError& error) {
        some_unseen_ |= error.error() == EACCES || error.error() == EPERM;  // else it has just ended
      } catch (const std::invalid_argument&) {
        some_unseen_ = true;
      }
    }
  }

  // 0: nobody that can be seen.
  pid_t of(const MemoryFile& file) const { return holders_.at({file.device, file.inode}); }
  bool some_unseen() const { return some_unseen_; }

 private:
  void look_at(pid_t pid) {
    const auto threads = list_threads(pid);
    for (const pid_t tid : threads) {
      // Threads have their memory in common, and descriptors as a rule. The main one may have ended.
      const bool first = tid == threads.front();
      if (!first && ::syscall(SYS_kcmp, threads.front(), tid, KCMP_FILES, 0, 0) == 0) continue;
      const std::string task = fmt::format("/proc/{}/task/{}", pid, tid);
      for (const int fd : list_numbers(task + "/fd")) look_at_descriptor(pid, fmt::format("{}/fd/{}", task, fd));
      for (const Mapping& area : parse_maps(read_text(task + "/maps"))) found({area.device, area.inode}, pid);
    }
  }

  // Without asking a server, which may be down (statx(2)).
  void look_at_descriptor(pid_t pid, const std::string& path) {
    struct statx info {};
    if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_INO, &info) == 0)
      found({makedev(info.stx_dev_major, info.stx_dev_minor), info.stx_ino}, pid);
  }

  void found(const Key& key, pid_t pid) {
    if (const auto holder = holders_.find(key); holder != holders_.end()) holder->second = pid;
  }

  std::map<Key, pid_t> holders_;
  bool some_unseen_ = false;
};

std::string remove_one(const MemoryFile& file, const Holders& holders) {
  const auto slash = file.path.rfind('/');
  if (slash == std::string::npos) return fmt::format("{} stays: not a path", file.path);
  const std::string name = file.path.substr(slash + 1);
  // What is looked at and what is removed lie in one folder, whatever becomes of the path.
  const UniqueFd folder(::open(file.path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat now {};
  if (!folder || ::fstatat(folder.get(), name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0)
    return fmt::format("{} is gone: {}", file.path, error_text(errno));
  if (now.st_dev != file.device || now.st_ino != file.inode || !S_ISREG(now.st_mode))
    return fmt::format("{} stays: it is another file by now", file.path);
  if (now.st_nlink != 1) return fmt::format("{} stays: it has other names", file.path);
  if (const pid_t pid = holders.of(file)) return fmt::format("{} stays: process {} has it", file.path, pid);
  if ((now.st_mode & (S_IWGRP | S_IWOTH)) != 0 && holders.some_unseen())
    return fmt::format("{} stays: other users may write to it, and not all processes can be looked at", file.path);
  if (::unlinkat(folder.get(), name.c_str(), 0) != 0) return fmt::format("{} stays: {}", file.path, error_text(errno));
  return fmt::format("{} removed", file.path);
}

}  // namespace

std::vector<std::string> remove_left_files(const std::vector<MemoryFile>& files) {
  std::vector<std::string> lines;
  if (files.empty()) return lines;
  Holders holders(files);
  holders.look_at_all();
  for (const MemoryFile& file : files) lines.push_back(remove_one(file, holders));
  return lines;
}

}  // namespace drover
