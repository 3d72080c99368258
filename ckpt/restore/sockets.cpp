#include "ckpt/restore/sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "ckpt/image/error.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/socket_address.h"
#include "ckpt/sys/socket_options.h"

namespace drover {

UniqueFd make_socket(const SocketState& state) {
  return UniqueFd(check(::socket(state.domain, state.type | SOCK_CLOEXEC, state.protocol), "socket"));
}

std::pair<UniqueFd, UniqueFd> make_socket_pair(int type, const SocketUser& creator) {
  // The child's answer: memory that it has in common with us.
  void* const page = ::mmap(nullptr, 2 * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw SystemError("mmap", "answer", errno);
  auto* const ends = static_cast<int*>(page);
  const auto make = [&] { return ::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno; };
  const int error = creator.pid > 0 ? run_as({creator, {}, {}}, make) : make();
  std::pair pair{UniqueFd(error == 0 ? ends[0] : -1), UniqueFd(error == 0 ? ends[1] : -1)};
  ::munmap(page, 2 * sizeof(int));
  if (error != 0) throw SystemError("socketpair", {}, error);
  return pair;
}

// A path that fills sun_path is told longer than it may be given (unix(7), BUGS).
static socklen_t length_of(const SocketAddress& address) {
  const std::size_t most = family_of(address) == AF_UNIX ? sizeof(sockaddr_un) : sizeof(sockaddr_storage);
  return static_cast<socklen_t>(std::min(most, address.size()));
}

static const sockaddr* pointer_to(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr*>(address.data());
}

int bind_socket(int socket, const SocketAddress& address) {
  return ::bind(socket, pointer_to(address), length_of(address)) == 0 ? 0 : errno;
}

int connect_socket(int socket, const SocketAddress& address) {
  return ::connect(socket, pointer_to(address), length_of(address)) == 0 ? 0 : errno;
}

template <class T>
static void set(int socket, int option, const T& value, const char* name) {
  check(::setsockopt(socket, SOL_SOCKET, option, &value, sizeof value), "setsockopt", name);
}

void make_room(int socket) {
  constexpr int kRoom = 1 << 30;  // the kernel gives as much of it as it may (net.core.wmem_max)
  if (::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &kRoom, sizeof kRoom) != 0)
    set(socket, SO_SNDBUF, kRoom, "SO_SNDBUF");
}

template <class T>
static void add_control(msghdr& message, int type, const T* values, std::size_t count) {
  auto* const head = reinterpret_cast<cmsghdr*>(static_cast<char*>(message.msg_control) + message.msg_controllen);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = type;
  head->cmsg_len = CMSG_LEN(count * sizeof(T));
  std::memcpy(CMSG_DATA(head), values, count * sizeof(T));
  message.msg_controllen += CMSG_SPACE(count * sizeof(T));
}

static int send_now(int through, const SocketMessage& from, const std::vector<int>& descriptors,
                    const SocketAddress& to) {
  alignas(cmsghdr) char control[CMSG_SPACE(256 * sizeof(int)) + CMSG_SPACE(sizeof(ucred))] = {};
  iovec vector{const_cast<std::byte*>(from.bytes.data()), from.bytes.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  if (!to.empty()) message.msg_name = const_cast<std::byte*>(to.data());
  message.msg_namelen = to.empty() ? 0 : length_of(to);
  if (!descriptors.empty())
    add_control(message, SCM_RIGHTS, descriptors.data(), std::min<std::size_t>(descriptors.size(), 256));
  if (from.sender) {
    const ucred sender{from.sender->pid, from.sender->uid, from.sender->gid};
    add_control(message, SCM_CREDENTIALS, &sender, 1);
  }
  if (message.msg_controllen == 0) message.msg_control = nullptr;
  const ssize_t n = ::sendmsg(through, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0) return errno;
  return n == static_cast<ssize_t>(from.bytes.size()) ? 0 : EMSGSIZE;
}

void send_message(int through, const SocketMessage& message, const std::vector<int>& descriptors,
                  const SocketAddress& to, const Actor& actor) {
  const auto send = [&] { return send_now(through, message, descriptors, to); };
  const bool by_another = actor.user.pid > 0 || !actor.root.empty();
  const int error = by_another ? run_as(actor, send) : send();
  if (error == EMSGSIZE) throw ImageError("damaged image: more in a socket than fits");
  if (error != 0) throw SystemError("fill a socket", {}, error);
}

// What is told is twice what was asked for (socket(7)).
static void set_buffer(int socket, int option, int forced, std::uint32_t told, const char* name) {
  const int half = static_cast<int>(std::min<std::uint32_t>(told, 1U << 30) / 2);
  set(socket, option, half, name);
  std::uint32_t now = 0;
  socklen_t size = sizeof now;
  if (::getsockopt(socket, SOL_SOCKET, option, &now, &size) == 0 && now < told)
    ::setsockopt(socket, SOL_SOCKET, forced, &half, sizeof half);  // beyond net.core.wmem_max, where we may
}

static timeval to_timeval(std::int64_t us) { return {us / 1'000'000, us % 1'000'000}; }

void set_options(int socket, const SocketState& state) {
  for (const SocketOption& option : state.options) {
    const SocketOptionKind* const kind = find_socket_option(option.level, option.name);
    if (kind == nullptr) throw ImageError("damaged image: an unknown option of a socket");
    check(::setsockopt(socket, option.level, option.name, option.value.data(),
                       static_cast<socklen_t>(option.value.size())),
          "setsockopt", kind->text);
  }
}

void set_buffers(int socket, const SocketState& state) {
  if (state.send_bytes != 0) set_buffer(socket, SO_SNDBUF, SO_SNDBUFFORCE, state.send_bytes, "SO_SNDBUF");
  if (state.receive_bytes != 0) set_buffer(socket, SO_RCVBUF, SO_RCVBUFFORCE, state.receive_bytes, "SO_RCVBUF");
}

void set_up_socket(int socket, const OpenFileState& file) {
  const SocketState& state = *file.socket;
  set_buffers(socket, state);
  if (state.low_water != 1) set(socket, SO_RCVLOWAT, state.low_water, "SO_RCVLOWAT");
  if (state.peek_offset != -1) set(socket, SO_PEEK_OFF, state.peek_offset, "SO_PEEK_OFF");
  if (state.send_timeout_us > 0) set(socket, SO_SNDTIMEO, to_timeval(state.send_timeout_us), "SO_SNDTIMEO");
  if (state.receive_timeout_us > 0) set(socket, SO_RCVTIMEO, to_timeval(state.receive_timeout_us), "SO_RCVTIMEO");
  if ((state.shut_down & 1) != 0) ::shutdown(socket, SHUT_RD);
  if ((state.shut_down & 2) != 0) ::shutdown(socket, SHUT_WR);
  check(::fcntl(socket, F_SETFL, file.flags & (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)), "F_SETFL", "socket");
}

}  // namespace drover
