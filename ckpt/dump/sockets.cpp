#include "ckpt/dump/sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>

#include "ckpt/sys/socket_options.h"
#include "ckpt/sys/tasks.h"

namespace drover {

UniqueFd borrow(pid_t process, int fd) {
  constexpr unsigned kThread = O_EXCL;  // PIDFD_THREAD, Linux 6.9
  const pid_t task = task_of(process);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, task, task != process ? kThread : 0)));
  return UniqueFd(pidfd ? static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)) : -1);
}

std::string socket_kind(const UniqueFd& socket) {
  if (!socket) return "a socket";
  const int domain = socket_option(socket, SOL_SOCKET, SO_DOMAIN, -1);
  const int type = socket_option(socket, SOL_SOCKET, SO_TYPE, -1);
  const int protocol = socket_option(socket, SOL_SOCKET, SO_PROTOCOL, -1);
  if (domain == AF_UNIX) return "a unix socket";
  if (type == SOCK_RAW || domain == AF_PACKET) return "a raw socket";
  if (domain == AF_INET || domain == AF_INET6) {
    if (type == SOCK_STREAM && protocol == IPPROTO_TCP) return "a TCP socket";
    return type == SOCK_DGRAM && protocol == IPPROTO_UDP ? "a UDP socket" : "an IP socket";
  }
  return domain == AF_NETLINK ? "a netlink socket" : "a socket";
}

SocketAddress address_of(const UniqueFd& socket, bool of_peer) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  auto* const out = reinterpret_cast<sockaddr*>(&address);
  const int result = of_peer ? ::getpeername(socket.get(), out, &size) : ::getsockname(socket.get(), out, &size);
  if (result != 0 || size <= sizeof(sa_family_t) || size > sizeof address) return {};
  const auto* const bytes = reinterpret_cast<const std::byte*>(&address);
  return {bytes, bytes + size};
}

static std::int64_t microseconds(const timeval& time) { return time.tv_sec * 1'000'000 + time.tv_usec; }

// A filter is code that we could not put back unseen (socket(7), SO_GET_FILTER: the number of its instructions).
static bool has_filter(const UniqueFd& socket) {
  socklen_t instructions = 0;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_GET_FILTER, nullptr, &instructions) != 0 || instructions != 0;
}

static std::optional<Refusal> plan_options(const UniqueFd& socket, const std::string& name, SocketState& state) {
  const UniqueFd fresh(check(::socket(state.domain, state.type | SOCK_CLOEXEC, state.protocol), "socket"));
  for (const SocketOptionKind& kind : socket_option_kinds()) {
    auto value = read_socket_option(socket.get(), kind);
    if (value && value != read_socket_option(fresh.get(), kind))
      state.options.push_back({kind.level, kind.name, std::move(*value)});
  }
  if (has_filter(socket)) return Refusal{fmt::format("holds {} with a filter, {}", socket_kind(socket), name)};
  // Once set, the kernel no longer chooses the size by itself (socket(7)); unix sockets have no such choice.
  state.send_bytes = socket_option(socket, SOL_SOCKET, SO_SNDBUF, 0U);
  state.receive_bytes = socket_option(socket, SOL_SOCKET, SO_RCVBUF, 0U);
  if (state.domain != AF_UNIX && state.send_bytes == socket_option(fresh, SOL_SOCKET, SO_SNDBUF, 0U))
    state.send_bytes = 0;
  if (state.domain != AF_UNIX && state.receive_bytes == socket_option(fresh, SOL_SOCKET, SO_RCVBUF, 0U))
    state.receive_bytes = 0;
  state.low_water = socket_option(socket, SOL_SOCKET, SO_RCVLOWAT, 1);
  state.peek_offset = socket_option(socket, SOL_SOCKET, SO_PEEK_OFF, -1);
  state.send_timeout_us = microseconds(socket_option(socket, SOL_SOCKET, SO_SNDTIMEO, timeval{}));
  state.receive_timeout_us = microseconds(socket_option(socket, SOL_SOCKET, SO_RCVTIMEO, timeval{}));
  return std::nullopt;
}

std::optional<Refusal> plan_socket(const UniqueFd& socket, ino_t inode, const std::string& name,
                                   const DumpOptions& options, SocketState& state, UnixSocketInfo& info) {
  const std::string kind = socket_kind(socket);
  const bool of_unix = kind == "a unix socket";
  if (!of_unix && kind != "a TCP socket" && kind != "a UDP socket")
    return Refusal{fmt::format("holds {}, {}", kind, name)};
  state.domain = socket_option(socket, SOL_SOCKET, SO_DOMAIN, 0);
  state.type = socket_option(socket, SOL_SOCKET, SO_TYPE, 0);
  state.protocol = socket_option(socket, SOL_SOCKET, SO_PROTOCOL, 0);
  state.name = address_of(socket, false);
  if (auto refusal =
          of_unix ? plan_unix_socket(socket, inode, name, state, info) : plan_inet_socket(socket, name, options, state))
    return refusal;
  return plan_options(socket, name, state);
}

}  // namespace drover
