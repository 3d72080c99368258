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

void Connection::send(std::uint16_t type, std::string_view payload) {
  const std::string bytes = encode_frame(type, payload);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::send(fd_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
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
