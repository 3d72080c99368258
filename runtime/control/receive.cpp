#include "runtime/control/receive.h"

#include <sys/socket.h>

#include <cstring>

namespace drover {

ssize_t receive_with_fds(int socket, std::span<char> bytes, std::deque<UniqueFd>& fds) {
  iovec io{bytes.data(), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFdsPerMessage)];
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (n <= 0) return n;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return n;
}

UniqueFd take_first(std::deque<UniqueFd>& fds) {
  if (fds.empty()) return {};
  UniqueFd fd = std::move(fds.front());
  fds.pop_front();
  return fd;
}

}  // namespace drover
