#include <fmt/format.h>
#include <poll.h>

#include "ckpt/dump/sockets.h"

namespace drover {

// Bytes out of band lie beside the queue, and a look at it would move them (unix(7) says nothing; net/unix/af_unix.c,
// CONFIG_AF_UNIX_OOB).
static bool has_urgent_data(const UniqueFd& socket) {
  pollfd ask{socket.get(), POLLPRI, 0};
  return ::poll(&ask, 1, 0) == 1 && (ask.revents & POLLPRI) != 0;
}

std::optional<Refusal> plan_unix_socket(const UniqueFd& socket, ino_t inode, const std::string& name,
                                        SocketState& state, UnixSocketInfo& info) {
  const auto told = ask_unix_socket(static_cast<std::uint32_t>(inode));
  if (!told) return Refusal{fmt::format("holds a unix socket, {}, of which this kernel tells nothing", name)};
  if (has_urgent_data(socket)) return Refusal{fmt::format("has urgent data in a unix socket, {}", name)};
  info = *told;
  state.listening = info.listening;
  state.backlog = info.backlog;
  state.connected = info.connected;
  state.shut_down = info.shut_down;
  if (state.connected) state.peer_name = address_of(socket, true);
  // Of none it says 0 and -1.
  const auto user = socket_option(socket, SOL_SOCKET, SO_PEERCRED, ucred{});
  state.peer_user = {user.pid, user.uid, user.gid};
  return std::nullopt;
}

}  // namespace drover
