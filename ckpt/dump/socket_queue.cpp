// What lies in the queue of a socket, looked at without taking it out (recv(2), MSG_PEEK).
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "ckpt/dump/sockets.h"

namespace drover {

namespace {

constexpr std::size_t kLongest = 4 * 1024 * 1024;  // far more than fits into a socket's buffer as a rule

// With an offset each MSG_PEEK goes on where the last one ended (socket(7), SO_PEEK_OFF). Senders are told only to
// those who want to know.
class PeekMode {
 public:
  PeekMode(const UniqueFd& socket, const SocketState& state)
      : socket_(socket),
        before_(state.peek_offset),
        of_unix_(state.domain == AF_UNIX),
        wanted_sender_(socket_option(socket, SOL_SOCKET, SO_PASSCRED, 0) != 0) {
    set_offset(0);
    if (of_unix_ && !wanted_sender_) set(SO_PASSCRED, 1);
  }
  ~PeekMode() {
    if (of_unix_ && !wanted_sender_) set(SO_PASSCRED, 0);
    set_offset(before_);
  }
  PeekMode(const PeekMode&) = delete;
  PeekMode& operator=(const PeekMode&) = delete;

  void set_offset(int offset) { set(SO_PEEK_OFF, offset); }

 private:
  void set(int option, int value) { ::setsockopt(socket_.get(), SOL_SOCKET, option, &value, sizeof value); }
  const UniqueFd& socket_;
  int before_;
  bool of_unix_, wanted_sender_;
};

// Memory with an end behind which nobody can write.
class Buffer {
 public:
  Buffer() : memory_(::mmap(nullptr, kLongest + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED || ::mprotect(end(), kPage, PROT_NONE) != 0)
      throw SystemError("mmap", "a buffer for a socket's queue", errno);
  }
  ~Buffer() { ::munmap(memory_, kLongest + kPage); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* start() const { return static_cast<std::byte*>(memory_); }
  std::byte* end() const { return start() + kLongest; }

 private:
  static constexpr std::size_t kPage = 4096;
  void* memory_;  // only what is used is ever touched
};

struct Peeked {
  ssize_t bytes = 0;
  int flags = 0;
  SocketMessage message;  // without descriptors
  std::vector<UniqueFd> rights;
  bool names_process = false;  // by a pidfd
};

}  // namespace

constexpr int kPidfd = 4;  // SCM_PIDFD, Linux >= 6.5

static void take_control(const cmsghdr& head, Peeked& peeked) {
  const auto* const data = reinterpret_cast<const std::byte*>(CMSG_DATA(&head));
  const std::size_t size = head.cmsg_len - CMSG_LEN(0);
  if (head.cmsg_level != SOL_SOCKET) return;
  peeked.names_process |= head.cmsg_type == kPidfd;
  if (head.cmsg_type == SCM_RIGHTS || head.cmsg_type == kPidfd) {
    for (std::size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, data + at, sizeof fd);
      peeked.rights.emplace_back(fd);
    }
  }
  if (head.cmsg_type != SCM_CREDENTIALS || size < sizeof(ucred)) return;
  ucred sender{};
  std::memcpy(&sender, data, sizeof sender);
  if (sender.pid > 0) peeked.message.sender = SocketUser{sender.pid, sender.uid, sender.gid};
}

static Peeked peek(const UniqueFd& socket, std::byte* to, std::size_t most) {
  Peeked peeked;
  alignas(cmsghdr) char control[4096];  // SCM_MAX_FD is 253
  sockaddr_storage from{};
  iovec vector{to, most};
  msghdr message{&from, sizeof from, &vector, 1, control, sizeof control, 0};
  peeked.bytes = ::recvmsg(socket.get(), &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (peeked.bytes < 0) return peeked;
  peeked.flags = message.msg_flags;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head))
    take_control(*head, peeked);
  const auto* const name = reinterpret_cast<const std::byte*>(&from);
  if (message.msg_namelen > sizeof(sa_family_t) && message.msg_namelen <= sizeof from)
    peeked.message.from.assign(name, name + message.msg_namelen);
  peeked.message.bytes.assign(to, to + peeked.bytes);
  return peeked;
}

// Descriptors come with a piece of a stream, before which others may have been sent without. How many bytes those have
// no look tells: it goes on to the next piece, and shows its descriptors, even where there is no room for more of it
// (unix_stream_read_generic(), MSG_PEEK). But a piece that can't be copied as a whole is not counted and ends the look.
static std::size_t bytes_before_rights(const UniqueFd& socket, PeekMode& mode, const Buffer& buffer, std::size_t offset,
                                       std::size_t bytes) {
  mode.set_offset(static_cast<int>(offset));
  const Peeked others = peek(socket, buffer.end() - (bytes - 1), bytes);
  mode.set_offset(static_cast<int>(offset + bytes));
  return others.bytes > 0 ? static_cast<std::size_t>(others.bytes) : 0;
}

static std::optional<Refusal> find_message_obstacle(const Peeked& peeked, const std::string& name) {
  if ((peeked.flags & MSG_TRUNC) != 0) return Refusal{fmt::format("has a very long message in a socket, {}", name)};
  if ((peeked.flags & MSG_CTRUNC) != 0)
    return Refusal{fmt::format("has more descriptors on their way through a socket than can be looked at, {}", name)};
  if (peeked.names_process)
    return Refusal{fmt::format("has a message with its sender's pidfd in a unix socket, {}", name)};
  return std::nullopt;
}

// An error that the program has not been told of yet is told once, and that must not be to us. Of a connection it lies
// behind all that can be read.
static std::optional<Refusal> find_error(const UniqueFd& socket, const std::string& name, SocketState& state,
                                         std::size_t& bytes) {
  pollfd ask{socket.get(), 0, 0};
  if (::poll(&ask, 1, 0) != 1 || (ask.revents & POLLERR) == 0) return std::nullopt;
  int unread = 0;
  const bool of_closed = state.domain == AF_UNIX && state.type != SOCK_DGRAM && state.connected && state.shut_down == 3;
  if (!of_closed || ::ioctl(socket.get(), FIONREAD, &unread) != 0)
    return Refusal{fmt::format("has an error that it has not been told of in a socket, {}", name)};
  state.reset = true;
  bytes = static_cast<std::size_t>(unread);
  return std::nullopt;
}

std::optional<Refusal> copy_queue(const UniqueFd& socket, const std::string& name, SocketState& state,
                                  std::vector<std::vector<UniqueFd>>& rights) {
  if (state.listening || (state.domain != AF_UNIX && state.type == SOCK_STREAM)) return std::nullopt;
  std::size_t offset = 0, end = SIZE_MAX;
  if (auto refusal = find_error(socket, name, state, end)) return refusal;
  PeekMode mode(socket, state);
  const Buffer buffer;
  while (offset < end) {
    Peeked peeked = peek(socket, buffer.start(), kLongest);
    const int error = peeked.bytes < 0 ? errno : 0;
    if (error == EAGAIN || error == ENOTCONN || error == EINVAL || error == ECONNRESET) return std::nullopt;
    if (error != 0) throw SystemError("look into the queue of", name, error);
    if (auto refusal = find_message_obstacle(peeked, name)) return refusal;
    if (peeked.bytes == 0 && state.type == SOCK_STREAM) return std::nullopt;  // the end
    // Of messages an empty one and the end look alike, but the end comes again and again.
    if (peeked.bytes == 0 && (state.shut_down & 1) != 0) return std::nullopt;
    const auto bytes = static_cast<std::size_t>(peeked.bytes);
    if (state.type == SOCK_STREAM && !peeked.rights.empty()) {
      const std::size_t before = bytes_before_rights(socket, mode, buffer, offset, bytes);
      SocketMessage plain{{}, {}, {}, peeked.message.sender};
      auto& all = peeked.message.bytes;
      plain.bytes.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(before));
      all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(before));
      if (before > 0) state.queue.push_back(std::move(plain)), rights.emplace_back();
    }
    if (state.type != SOCK_DGRAM) peeked.message.from.clear();  // it is the peer's
    state.queue.push_back(std::move(peeked.message));
    rights.push_back(std::move(peeked.rights));
    offset += bytes;
  }
  return std::nullopt;
}

}  // namespace drover
