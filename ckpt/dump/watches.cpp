#include "ckpt/dump/watches.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <map>

#include "ckpt/sys/maps.h"
#include "ckpt/sys/text.h"

namespace drover {

static constexpr int kMostDescriptors = 100'000;  // they count up; a restorer has to count along

static void add_with_folders(const std::string& path, std::set<std::string>& paths) {
  if (path.empty() || path[0] != '/') return;
  std::string folder = path;
  while (paths.insert(folder).second && folder != "/") {
    const std::size_t slash = folder.rfind('/');
    folder = slash == 0 ? "/" : folder.substr(0, slash);
  }
}

std::set<std::string> likely_paths(std::span<const pid_t> processes) {
  std::set<std::string> paths;
  for (const pid_t pid : processes) {
    for (const char* link : {"cwd", "exe"}) {
      if (const auto path = try_read_link(proc_path(pid, link))) add_with_folders(*path, paths);
    }
    try {
      for (const int fd : list_numbers(proc_path(pid, "fd"))) {
        if (const auto path = try_read_link(proc_path(pid, fmt::format("fd/{}", fd)))) add_with_folders(*path, paths);
      }
    } catch (const SystemError&) {  // it has just ended
    }
    if (const auto maps = try_read_text(proc_path(pid, "maps"))) {
      for (const Mapping& m : parse_maps(*maps)) add_with_folders(m.path, paths);
    }
  }
  return paths;
}

static bool is_watched(const InotifyWatch& watch, const struct stat& info) {
  return watch.inode == info.st_ino && watch.device == (major(info.st_dev) << 20 | minor(info.st_dev));
}

std::optional<Refusal> find_watched_paths(const std::vector<InotifyWatch>& watches, const std::set<std::string>& paths,
                                          const std::string& name, std::vector<WatchState>& states) {
  std::map<ino_t, std::pair<std::string, struct stat>> by_inode;
  for (const std::string& path : paths) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0) by_inode.emplace(info.st_ino, std::pair(path, info));
  }
  states.clear();
  for (const InotifyWatch& watch : watches) {
    const auto found = by_inode.find(watch.inode);
    if (found == by_inode.end() || !is_watched(watch, found->second.second))
      return Refusal{fmt::format("watches a file of unknown path (inode {}) by inotify, {}", watch.inode, name)};
    if (watch.descriptor > kMostDescriptors)
      return Refusal{fmt::format("has made {} inotify watches, {}", watch.descriptor, name)};
    states.push_back({watch.descriptor, watch.mask, found->second.first});
  }
  return std::nullopt;
}

}  // namespace drover
