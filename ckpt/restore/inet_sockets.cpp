#include "ckpt/restore/inet_sockets.h"

#include <fmt/format.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <cerrno>

#include "ckpt/image/error.h"
#include "ckpt/image/udp_routes.h"
#include "ckpt/restore/sockets.h"
#include "ckpt/sys/socket_address.h"

namespace drover {

static void set_reuse(int socket, int value) {
  check(::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value), "setsockopt", "SO_REUSEADDR");
}

// Connections that were closed lately keep a TCP port for a minute, but not from whoever says that he may share it; one
// that listens keeps it from everybody (inet_csk_get_port()).
static int bind_inet(int socket, const SocketState& state) {
  int error = bind_socket(socket, state.name);
  if (error != EADDRINUSE || state.type != SOCK_STREAM) return error;
  int before = 0;
  socklen_t size = sizeof before;
  ::getsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &before, &size);
  set_reuse(socket, 1);
  error = bind_socket(socket, state.name);
  set_reuse(socket, before);
  return error;
}

static UniqueFd make_bound(const SocketState& state, int& error) {
  UniqueFd socket = make_socket(state);
  set_options(socket.get(), state);
  set_buffers(socket.get(), state);
  error = state.name.empty() ? 0 : bind_inet(socket.get(), state);
  return socket;
}

static int listen_with(int socket, std::uint32_t backlog) {
  return ::listen(socket, static_cast<int>(backlog)) == 0 ? 0 : errno;
}

std::optional<Refusal> find_bind_obstacle(const SocketState& state) {
  int error = 0;
  const UniqueFd socket = make_bound(state, error);
  if (error == 0 && state.listening) error = listen_with(socket.get(), state.backlog);
  if (error == 0) return std::nullopt;
  const char* const kind = state.type == SOCK_STREAM ? "TCP" : "UDP";
  return Refusal{
      fmt::format("the {} port {} can't be had here: {}", kind, show_address(state.name), error_text(error))};
}

static std::uint32_t memory_of_queue(int socket) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof info;
  check(::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, info.data(), &size), "getsockopt", "SO_MEMINFO");
  return info[SK_MEMINFO_RMEM_ALLOC];
}

// Loopback delivers at once as a rule, but ksoftirqd may be asked to.
static void send_and_wait(int through, int to, const SocketMessage& message, const UdpRoute& route) {
  const std::uint32_t before = memory_of_queue(to);
  send_message(through, message, {}, route.to, {});
  for (int i = 0; i < 1000 && memory_of_queue(to) <= before; ++i) {
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
  if (memory_of_queue(to) <= before) throw SystemError("deliver a datagram to", show_address(route.to), ETIMEDOUT);
}

static void fill_udp(const OpenFilesState& files, const std::vector<UniqueFd>& descriptions, std::size_t index) {
  for (const SocketMessage& message : files.files[index].socket->queue) {
    const auto route = find_udp_route(files, index, message);
    if (!route) throw ImageError("damaged image: a datagram from elsewhere");
    UniqueFd gone;
    if (!route->sender) {
      SocketState sender;
      sender.domain = family_of(route->from);
      sender.type = SOCK_DGRAM;
      gone = make_socket(sender);
      if (const int error = bind_socket(gone.get(), route->from); error != 0)
        throw SystemError("bind", show_address(route->from), error);
    }
    const int through = route->sender ? descriptions[*route->sender].get() : gone.get();
    send_and_wait(through, descriptions[index].get(), message, *route);
  }
}

void make_inet_sockets(const OpenFilesState& files, std::vector<UniqueFd>& descriptions) {
  std::vector<std::size_t> ours;
  for (std::size_t i = 0; i < files.files.size(); ++i) {
    const auto& socket = files.files[i].socket;
    if (!socket || socket->domain == AF_UNIX) continue;
    int error = 0;
    descriptions[i] = make_bound(*socket, error);
    if (error != 0) throw SystemError("bind", show_address(socket->name), error);
    ours.push_back(i);
  }
  for (const std::size_t i : ours) fill_udp(files, descriptions, i);
  for (const std::size_t i : ours) {
    const SocketState& state = *files.files[i].socket;
    int error = 0;
    if (state.connected) error = connect_socket(descriptions[i].get(), state.peer_name);
    if (state.listening) error = listen_with(descriptions[i].get(), state.backlog);
    if (error != 0) throw SystemError("connect or listen", show_address(state.name), error);
    set_up_socket(descriptions[i].get(), files.files[i]);
  }
}

}  // namespace drover
