#include "ckpt/dump/sockets.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "ckpt/sys/unix_diag.h"

namespace drover {

UniqueFd borrow(pid_t process, int fd) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  return UniqueFd(pidfd ? static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)) : -1);
}

template <class T>
static T option(const UniqueFd& socket, int name, T otherwise = {}) {
  T value = otherwise;
  socklen_t size = sizeof value;
  return ::getsockopt(socket.get(), SOL_SOCKET, name, &value, &size) == 0 ? value : otherwise;
}

std::string socket_kind(const UniqueFd& socket) {
  if (!socket) return "a socket";
  const int domain = option(socket, SO_DOMAIN, -1), type = option(socket, SO_TYPE, -1);
  if (domain == AF_UNIX) return "a unix socket";
  if (type == SOCK_RAW || domain == AF_PACKET) return "a raw socket";
  if (domain == AF_INET || domain == AF_INET6)
    return type == SOCK_STREAM ? "a TCP socket" : type == SOCK_DGRAM ? "a UDP socket" : "an IP socket";
  return domain == AF_NETLINK ? "a netlink socket" : "a socket";
}

static std::int64_t microseconds(const timeval& time) { return time.tv_sec * 1'000'000 + time.tv_usec; }

std::optional<Refusal> plan_unix_socket(const UniqueFd& socket, ino_t inode, const std::string& name,
                                        SocketState& state, ino_t& peer) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 || size > sizeof(sa_family_t))
    return Refusal{fmt::format("holds a unix socket with a name, {}", name)};
  const auto info = ask_unix_socket(static_cast<std::uint32_t>(inode));
  if (!info) return Refusal{fmt::format("holds a unix socket, {}, of which this kernel tells nothing", name)};
  if (info->listening) return Refusal{fmt::format("holds a unix socket that listens, {}", name)};
  state.type = option(socket, SO_TYPE, 0);
  state.connected = info->connected;
  state.shut_down = info->shut_down;
  peer = info->peer;
  state.peer_pid = option(socket, SO_PEERCRED, ucred{}).pid;
  state.send_bytes = option(socket, SO_SNDBUF, 0U);
  state.receive_bytes = option(socket, SO_RCVBUF, 0U);
  state.low_water = option(socket, SO_RCVLOWAT, 1);
  state.peek_offset = option(socket, SO_PEEK_OFF, -1);
  state.pass_credentials = option(socket, SO_PASSCRED, 0) != 0;
  state.send_timeout_us = microseconds(option(socket, SO_SNDTIMEO, timeval{}));
  state.receive_timeout_us = microseconds(option(socket, SO_RCVTIMEO, timeval{}));
  return std::nullopt;
}

namespace {

// With an offset each MSG_PEEK goes on where the last one ended (socket(7), SO_PEEK_OFF).
class PeekFromStart {
 public:
  PeekFromStart(const UniqueFd& socket, int before) : socket_(socket), before_(before) { set(0); }
  ~PeekFromStart() { set(before_); }
  PeekFromStart(const PeekFromStart&) = delete;

 private:
  void set(int offset) { ::setsockopt(socket_.get(), SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset); }
  const UniqueFd& socket_;
  int before_;
};

}  // namespace

static void close_received(msghdr& message) {
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + sizeof(int) <= head->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + at, sizeof fd);
      ::close(fd);
    }
  }
}

std::optional<Refusal> copy_queue(const UniqueFd& socket, const std::string& name, SocketState& state) {
  constexpr std::size_t kLongest = 4 * 1024 * 1024;  // far more than fits into a socket's buffer as a rule
  const PeekFromStart peek(socket, state.peek_offset);
  const auto bytes = std::make_unique_for_overwrite<std::byte[]>(kLongest);  // only what is used is ever touched
  for (;;) {
    alignas(cmsghdr) char control[1024];
    iovec vector{bytes.get(), kLongest};
    msghdr message{nullptr, 0, &vector, 1, control, sizeof control, 0};
    const ssize_t n = ::recvmsg(socket.get(), &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINVAL || errno == ECONNRESET)) return std::nullopt;
    if (n < 0) throw SystemError("look into the queue of", name, errno);
    bool carries = false;
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head))
      carries |= head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS;
    close_received(message);
    if (carries) return Refusal{fmt::format("has descriptors on their way through a unix socket, {}", name)};
    if ((message.msg_flags & MSG_TRUNC) != 0)
      return Refusal{fmt::format("has a very long message in a unix socket, {}", name)};
    if (n == 0 && state.type == SOCK_STREAM) return std::nullopt;  // the end
    // Of messages an empty one and the end look alike, but the end comes again and again.
    if (n == 0 && (state.shut_down & 1) != 0) return std::nullopt;
    if (state.pass_credentials)
      return Refusal{fmt::format("has a message with its sender's credentials in a unix socket, {}", name)};
    state.queue.emplace_back(bytes.get(), bytes.get() + n);
  }
}

}  // namespace drover
