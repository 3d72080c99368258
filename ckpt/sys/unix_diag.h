// What the kernel tells of a unix socket of this network namespace (sock_diag(7)).
#pragma once

#include <cstdint>
#include <optional>

namespace drover {

struct UnixSocketInfo {
  bool listening = false;
  bool connected = false;       // it has or had a peer
  std::uint32_t peer = 0;       // inode of the peer; 0: none any more
  std::uint32_t shut_down = 0;  // RCV_SHUTDOWN 1, SEND_SHUTDOWN 2
};

// `inode`: as fstat() tells it for a descriptor. Empty when there is no such socket here or the kernel was built
// without CONFIG_UNIX_DIAG.
std::optional<UnixSocketInfo> ask_unix_socket(std::uint32_t inode);

}  // namespace drover
