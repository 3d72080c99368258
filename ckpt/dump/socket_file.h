// The file to which the name of a unix socket leads. The name alone does not say: it may be relative to a folder that
// the program has left, and the file may have been renamed or unlinked since.
#pragma once

#include <sys/types.h>

#include <optional>
#include <set>
#include <span>
#include <string>

#include "ckpt/image/state/sockets.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

class SocketFileFinder {
 public:
  // `processes`: of the tree.
  explicit SocketFileFinder(std::span<const pid_t> processes) : processes_(processes) {}

  // `file` stays empty if the name leads to the socket no more. `inode`: of the file that it was bound to. A Refusal if
  // that can't be told.
  std::optional<Refusal> find(const UniqueFd& socket, const SocketAddress& name, ino_t inode,
                              std::optional<SocketFile>& file);

 private:
  std::optional<SocketFile> search_all(const std::string& path, ino_t inode);
  std::set<std::string> folders_of(const std::string& path);

  std::span<const pid_t> processes_;
  std::optional<std::set<std::string>> likely_;
};

}  // namespace drover
