#include "runtime/control/connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "ckpt/sys/error.h"
#include "runtime/control/receive.h"

namespace drover {

Connection Connection::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw SystemError("connect", path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  check(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect", path);
  return Connection(std::move(fd));
}

static ssize_t send_with_fd(int socket, std::string_view bytes, int fd) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  iovec io{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

void Connection::send(std::uint16_t type, std::string_view payload, int fd) {
  const std::string bytes = encode_frame(type, payload);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = send_with_fd(fd_.get(), std::string_view(bytes).substr(done), done == 0 ? fd : -1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      pollfd wait{fd_.get(), POLLOUT, 0};
      ::poll(&wait, 1, -1);
      continue;
    }
    done += static_cast<std::size_t>(check(n, "send", "control socket"));
  }
}

bool Connection::fill() {
  char bytes[65536];
  for (;;) {
    const ssize_t n = receive_with_fds(fd_.get(), bytes, received_fds_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ECONNRESET) return false;
    if (check(n, "receive", "control socket") == 0) return false;
    decoder_.feed({bytes, static_cast<std::size_t>(n)});
    return true;
  }
}

UniqueFd Connection::take_fd() { return take_first(received_fds_); }

std::optional<Frame> Connection::receive() {
  for (;;) {
    if (auto frame = decoder_.next()) return frame;
    if (!fill()) return std::nullopt;
  }
}

}  // namespace drover
