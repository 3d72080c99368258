// What the kernel tells of a unix socket of this network namespace (sock_diag(7)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace drover {

struct UnixSocketInfo {
  std::uint32_t inode = 0;
  bool listening = false;
  bool connected = false;       // it has or had a peer
  std::uint32_t peer = 0;       // inode of the peer; 0: none any more, or not accepted yet
  std::uint32_t shut_down = 0;  // RCV_SHUTDOWN 1, SEND_SHUTDOWN 2
  // Of the file that its name led to when it was bound; 0: none.
  std::uint32_t file_inode = 0;
  // Of one that listens: how many may wait, and the inodes of the clients that do, 0: closed already.
  std::uint32_t backlog = 0;
  std::vector<std::uint32_t> pending;
  // Of others: memory in use by what it has sent and nobody has read.
  std::uint32_t unread_by_peer = 0;
};

// `inode`: as fstat() tells it for a descriptor. Empty when there is no such socket here or the kernel was built
// without CONFIG_UNIX_DIAG.
std::optional<UnixSocketInfo> ask_unix_socket(std::uint32_t inode);

// Is some socket of this network namespace bound to the file of this inode number (of whichever file system)? False
// also where the kernel does not tell.
bool is_unix_file_in_use(std::uint64_t inode);

// One message of the kernel's answer, its header included.
std::optional<UnixSocketInfo> parse_unix_diag(std::span<const std::byte> message);

}  // namespace drover
