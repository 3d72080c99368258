// Unix sockets inside the tree.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "ckpt/image/state/files.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// A process's open file description in our own table; empty where the kernel does not let us (pidfd_getfd(2), Linux
// >= 5.6).
UniqueFd borrow(pid_t process, int fd);

// "a TCP socket", or just "a socket" for an empty one.
std::string socket_kind(const UniqueFd& socket);

// What an unbound unix socket is, but for its queue and the number of its peer. `name`: for refusals. Gives the inode
// of the peer, 0: none.
std::optional<Refusal> plan_unix_socket(const UniqueFd& socket, ino_t inode, const std::string& name, SocketState&,
                                        ino_t& peer);

// Reads what lies in the queue and leaves it there.
std::optional<Refusal> copy_queue(const UniqueFd& socket, const std::string& name, SocketState&);

}  // namespace drover
