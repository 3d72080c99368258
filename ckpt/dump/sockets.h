// The sockets of a tree: what each is, by itself (connections.h has what they are to each other).
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "ckpt/dump/dump.h"
#include "ckpt/image/state/sockets.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"
#include "ckpt/sys/unix_diag.h"

namespace drover {

// A process's open file description in our own table; empty where the kernel does not let us (pidfd_getfd(2), Linux
// >= 5.6).
UniqueFd borrow(pid_t process, int fd);

// "a TCP socket", or just "a socket" for an empty one.
std::string socket_kind(const UniqueFd& socket);

template <class T>
T socket_option(const UniqueFd& socket, int level, int name, T otherwise = {}) {
  T value = otherwise;
  socklen_t size = sizeof value;
  return ::getsockopt(socket.get(), level, name, &value, &size) == 0 ? value : otherwise;
}

// getsockname(2) or getpeername(2); empty if there is none.
SocketAddress address_of(const UniqueFd& socket, bool of_peer);

// What a socket is, but for its queue and its connections. `name`: for refusals. `info`: of a unix socket.
std::optional<Refusal> plan_socket(const UniqueFd& socket, ino_t inode, const std::string& name, const DumpOptions&,
                                   SocketState&, UnixSocketInfo& info);

// The kinds, each in a file of its own name; options and buffers are plan_socket()'s.
std::optional<Refusal> plan_unix_socket(const UniqueFd& socket, ino_t inode, const std::string& name, SocketState&,
                                        UnixSocketInfo& info);
std::optional<Refusal> plan_inet_socket(const UniqueFd& socket, const std::string& name, const DumpOptions&,
                                        SocketState&);

// Reads what lies in the queue and leaves it there. `rights` gets the descriptors of each message, as ours.
std::optional<Refusal> copy_queue(const UniqueFd& socket, const std::string& name, SocketState&,
                                  std::vector<std::vector<UniqueFd>>& rights);

}  // namespace drover
