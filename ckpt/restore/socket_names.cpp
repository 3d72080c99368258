#include "ckpt/restore/socket_names.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "ckpt/restore/sockets.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/socket_address.h"

namespace drover {

static std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    if (slash > at && path.compare(at, slash - at, ".") != 0) parts.push_back(path.substr(at, slash - at));
    at = slash + 1;
  }
  return parts;
}

static std::string join(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path += "/" + part;
  return path.empty() ? "/" : path;
}

PlaceInRoot place_in_root(const std::string& name) {
  PlaceInRoot place;
  std::vector<std::string> at;
  const auto parts = split(name);
  const auto enter = [&](const std::string& part) {
    at.push_back(part);
    place.folders.push_back(join(at));
  };
  for (const std::string& part : parts) {
    if (part == ".." && name[0] != '/') enter("up");
  }
  place.folder = join(at);
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i] != "..")
      enter(parts[i]);
    else if (!at.empty())
      at.pop_back();
  }
  if (!parts.empty()) at.push_back(parts.back());
  place.path = join(at);
  return place;
}

static std::string make_folder_in(const std::string& parent) {
  std::string folder = parent + "/.drover-XXXXXX";
  return ::mkdtemp(folder.data()) != nullptr ? folder : std::string();
}

// Beside the file, so that it can be moved there; else anywhere.
static std::string make_folder(const std::optional<SocketFile>& file) {
  const std::string beside = file ? file->path.substr(0, file->path.rfind('/')) : "/tmp";
  std::string folder = make_folder_in(beside);
  if (folder.empty() && !file) folder = make_folder_in("/dev/shm");
  if (folder.empty()) throw SystemError("make a folder in", beside, errno);
  return folder;
}

static void set_owner_and_mode(const std::string& path, const SocketFile& file) {
  struct stat now {};
  check(::lstat(path.c_str(), &now), "stat", path);
  if (now.st_uid != file.uid || now.st_gid != file.gid)
    check(::lchown(path.c_str(), file.uid, file.gid), "chown", file.path);
  check(::chmod(path.c_str(), file.mode & 07777), "chmod", file.path);
}

const BoundName& SocketNames::bind(int socket, const SocketAddress& address, const std::optional<SocketFile>& file) {
  BoundName& name = bound_.emplace_back();
  name.address = address;
  const std::string path = path_of(address);
  if (!path.empty()) {
    name.root = make_folder(file);
    name.file = file;
    const PlaceInRoot place = place_in_root(path);
    for (const std::string& folder : place.folders) {
      if (::mkdir((name.root + folder).c_str(), 0700) != 0 && errno != EEXIST)
        throw SystemError("mkdir", name.root + folder, errno);
    }
    name.folder = place.folder;
    name.path = name.root + place.path;
  }
  const int error = name.root.empty() ? bind_socket(socket, address)
                                      : run_as(name.as({}), [&] { return bind_socket(socket, address); });
  if (error != 0) throw SystemError("bind", show_address(address), error);
  if (file) set_owner_and_mode(name.path, *file);
  return name;
}

static void remove_folder(const BoundName& name) {
  std::error_code ignored;
  if (!name.root.empty()) std::filesystem::remove_all(name.root, ignored);
}

void SocketNames::commit() {
  for (const BoundName& name : bound_) {
    if (name.file) check(::rename(name.path.c_str(), name.file->path.c_str()), "rename", name.file->path);
  }
  for (const BoundName& name : bound_) remove_folder(name);
  bound_.clear();
}

SocketNames::~SocketNames() {
  for (const BoundName& name : bound_) remove_folder(name);
}

}  // namespace drover
