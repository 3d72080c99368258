#include "runtime/control/frame_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "ckpt/sys/error.h"
#include "runtime/control/receive.h"

namespace drover {

FrameSocket::FrameSocket(EventLoop& loop, UniqueFd fd, Handlers handlers)
    : loop_(loop), fd_(std::move(fd)), handlers_(std::move(handlers)) {
  const int flags = check(::fcntl(fd_.get(), F_GETFL), "fcntl", "socket");
  check(::fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK), "fcntl", "socket");
  interest_ = EPOLLIN;
  loop_.watch(fd_.get(), interest_, [this](std::uint32_t events) { on_events(events); });
}

FrameSocket::~FrameSocket() {
  *alive_ = false;
  if (fd_) loop_.forget(fd_.get());
}

void FrameSocket::send(std::uint16_t type, std::string_view payload, std::vector<UniqueFd> fds) {
  if (!fd_) return;
  queue_.push_back({encode_frame(type, payload), std::move(fds)});
  backlog_ += queue_.back().bytes.size();
  // A peer that is gone is reported from the loop, never from inside a caller that is busy with something else.
  if (!write_some()) queue_.clear();
  update_interest();
}

bool FrameSocket::write_some() {
  while (!queue_.empty()) {
    Outgoing& out = queue_.front();
    iovec io{out.bytes.data() + written_, out.bytes.size() - written_};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFdsPerMessage)] = {};
    if (written_ == 0 && !out.fds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(sizeof(int) * out.fds.size());
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * out.fds.size());
      for (std::size_t i = 0; i < out.fds.size(); ++i) {
        const int fd = out.fds[i].get();
        std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
      }
    }
    const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (n < 0) return false;
    out.fds.clear();
    written_ += static_cast<std::size_t>(n);
    backlog_ -= static_cast<std::size_t>(n);
    if (written_ < out.bytes.size()) continue;
    queue_.pop_front();
    written_ = 0;
  }
  return true;
}

FrameSocket::Read FrameSocket::read_some() {
  char bytes[65536];
  const ssize_t n = receive_with_fds(fd_.get(), bytes, received_fds_);
  if (n < 0 && errno == EINTR) return Read::Some;
  if (n < 0 && errno == EAGAIN) return Read::Nothing;
  if (n <= 0) {
    close(n == 0 || errno == ECONNRESET ? "" : error_text(errno));
    return Read::Closed;
  }
  const auto alive = alive_;
  try {
    decoder_.feed({bytes, static_cast<std::size_t>(n)});
    while (auto frame = decoder_.next()) {
      handlers_.frame(std::move(*frame));
      if (!*alive || !fd_) return Read::Closed;
    }
  } catch (const std::exception& error) {  // whatever it is, it is about this peer: the others must not feel it
    close(error.what());
    return Read::Closed;
  }
  return Read::Some;
}

void FrameSocket::receive_rest() {
  if (!fd_) return;
  while (read_some() == Read::Some) {
  }
}

void FrameSocket::on_events(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    const bool had = !queue_.empty();
    if (!write_some()) return close("");
    if (had && queue_.empty() && handlers_.drained) {
      const auto alive = alive_;
      handlers_.drained();
      if (!*alive || !fd_) return;
    }
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0 && read_some() == Read::Closed) return;
  update_interest();
}

void FrameSocket::update_interest() {
  if (!fd_) return;
  const std::uint32_t wanted = (reading_ ? EPOLLIN : 0U) | (queue_.empty() ? 0U : EPOLLOUT);
  if (wanted == interest_) return;
  interest_ = wanted;
  loop_.change(fd_.get(), wanted);
}

void FrameSocket::pause_reading(bool pause) {
  reading_ = !pause;
  update_interest();
}

UniqueFd FrameSocket::take_fd() { return take_first(received_fds_); }

uid_t FrameSocket::peer_uid() const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  check(::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size), "getsockopt SO_PEERCRED");
  return credentials.uid;
}

bool FrameSocket::flush_blocking() {
  while (fd_ && !queue_.empty()) {
    if (!write_some()) return false;
    if (queue_.empty()) break;
    pollfd wait{fd_.get(), POLLOUT, 0};
    if (::poll(&wait, 1, 1000) <= 0) return false;
  }
  return true;
}

void FrameSocket::close(const std::string& why) {
  if (!fd_) return;
  loop_.forget(fd_.get());
  fd_.reset();
  // Moved out: the handler may destroy this object.
  const auto closed = std::move(handlers_.closed);
  if (closed) closed(why);
}

}  // namespace drover
