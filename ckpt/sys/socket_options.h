// The options of sockets that are carried as they are: read where they differ from a new socket's, and set again.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace drover {

struct SocketOptionKind {
  int level, name;
  const char* text;   // "SO_KEEPALIVE"
  std::size_t bytes;  // at most
};

// In the order in which they can be set, all of them before bind(2).
std::span<const SocketOptionKind> socket_option_kinds();
// Null if it is none of those.
const SocketOptionKind* find_socket_option(int level, int name);

// What getsockopt(2) gives; empty where the socket has no such option.
std::optional<std::vector<std::byte>> read_socket_option(int socket, const SocketOptionKind&);

}  // namespace drover
