#include "ckpt/restore/socket_checks.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "ckpt/restore/inet_sockets.h"
#include "ckpt/restore/sockets.h"
#include "ckpt/sys/socket_address.h"
#include "ckpt/sys/unix_diag.h"

namespace drover {

// A socket's file that nobody is bound to may be replaced: its owner has ended without removing it.
static std::optional<Refusal> check_file(const SocketFile& file, bool live) {
  const std::string folder = file.path.substr(0, std::max<std::size_t>(1, file.path.rfind('/')));
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    return Refusal{fmt::format("no socket can be made in {}: {}", folder, error_text(errno))};
  struct stat now {};
  if (::lstat(file.path.c_str(), &now) != 0) return std::nullopt;
  if (!S_ISSOCK(now.st_mode)) return Refusal{fmt::format("{} is no socket here", file.path)};
  const bool of_source = live && now.st_ino == file.inode;
  if (!of_source && is_unix_file_in_use(now.st_ino))
    return Refusal{fmt::format("{} is the name of another socket here", file.path)};
  return std::nullopt;
}

static std::optional<Refusal> check_abstract(const SocketState& socket, const SocketAddress& name) {
  const UniqueFd probe = make_socket(socket);
  const int error = bind_socket(probe.get(), name);
  if (error == 0) return std::nullopt;
  return Refusal{fmt::format("the abstract name {} can't be had here: {}", show_address(name), error_text(error))};
}

// Of those that are used, even if only for a moment.
static std::optional<Refusal> check_names(const SocketState& socket) {
  std::set<SocketAddress> names{socket.name};
  if (socket.peer < 0) names.insert(socket.peer_name);
  for (const SocketMessage& message : socket.queue) names.insert(message.from);
  for (const SocketAddress& name : names) {
    if (!is_abstract(name)) continue;
    if (auto refusal = check_abstract(socket, name)) return refusal;
  }
  return std::nullopt;
}

std::optional<Refusal> find_socket_obstacle(const OpenFilesState& files, bool live) try {
  for (const OpenFileState& file : files.files) {
    if (!file.socket) continue;
    if (file.socket->domain != AF_UNIX) {
      if (auto refusal = find_bind_obstacle(*file.socket)) return refusal;
      continue;
    }
    if (auto refusal = check_names(*file.socket)) return refusal;
    if (!file.socket->file) continue;
    if (auto refusal = check_file(*file.socket->file, live)) return refusal;
  }
  return std::nullopt;
} catch (const SystemError& error) {
  return Refusal{error.what()};
}

}  // namespace drover
