#include "ckpt/dump/socket_file.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/un.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <climits>
#include <cstdlib>
#include <memory>

#include "ckpt/dump/obstacles.h"
#include "ckpt/dump/watches.h"
#include "ckpt/sys/socket_address.h"
#include "ckpt/sys/text.h"

namespace drover {

static std::optional<SocketFile> look_at(const std::string& path, ino_t inode) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || info.st_ino != inode || !S_ISSOCK(info.st_mode)) return std::nullopt;
  return SocketFile{path, info.st_mode, info.st_uid, info.st_gid, info.st_ino};
}

static std::string resolve(const std::string& folder) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(folder.c_str(), nullptr), &std::free);
  return real ? real.get() : std::string();
}

// A socket bound under one name and renamed or linked to another of the same folder, as some do for a name that appears
// all at once.
static std::optional<SocketFile> search(const std::string& folder, ino_t inode) {
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), &::closedir);
  while (const dirent* entry = listing ? ::readdir(listing.get()) : nullptr) {
    if (entry->d_ino != inode || (entry->d_type != DT_SOCK && entry->d_type != DT_UNKNOWN)) continue;
    if (auto file = look_at(folder + "/" + entry->d_name, inode)) return file;
  }
  return std::nullopt;
}

// Where a relative name may have been meant: where the program works now, and all folders that it has to do with.
std::set<std::string> SocketFileFinder::folders_of(const std::string& path) {
  std::set<std::string> folders;
  const std::string parent = path.substr(0, path.rfind('/') + 1);
  const auto add = [&](const std::string& base) {
    if (auto folder = resolve(fmt::format("{}/{}", base, parent)); !folder.empty()) folders.insert(std::move(folder));
  };
  for (const pid_t pid : processes_) {
    if (const auto base = try_read_link(proc_path(pid, path[0] == '/' ? "root" : "cwd"))) add(*base);
  }
  if (path[0] == '/') return folders;
  if (!likely_) likely_ = likely_paths(processes_);
  for (const std::string& base : *likely_) add(base);
  return folders;
}

std::optional<SocketFile> SocketFileFinder::search_all(const std::string& path, ino_t inode) {
  const auto folders = folders_of(path);
  const std::string last = path.substr(path.rfind('/') + 1);
  for (const std::string& folder : folders) {
    if (auto file = look_at(fmt::format("{}/{}", folder, last), inode)) return file;
  }
  for (const std::string& folder : folders) {
    if (auto file = search(folder, inode)) return file;
  }
  return std::nullopt;
}

std::optional<Refusal> SocketFileFinder::find(const UniqueFd& socket, const SocketAddress& name, ino_t inode,
                                              std::optional<SocketFile>& file) {
  // Exact, but for CAP_NET_ADMIN in the network namespace only.
  if (const UniqueFd opened(::ioctl(socket.get(), SIOCUNIXFILE)); opened) {
    struct stat info {};
    if (::fstat(opened.get(), &info) == 0 && info.st_nlink == 0) return std::nullopt;
    const auto link = try_read_link(fmt::format("/proc/self/fd/{}", opened.get()));
    if ((file = look_at(link.value_or(""), inode))) return std::nullopt;
  }
  const std::string path = path_of(name);
  if ((file = search_all(path, inode)) || path[0] == '/') return std::nullopt;
  return Refusal{fmt::format("holds a unix socket of unknown path (\"{}\", inode {})", path, inode)};
}

}  // namespace drover
