#include "ckpt/restore/image_sockets.h"

#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <set>
#include <string>

#include "ckpt/image/error.h"
#include "ckpt/image/udp_routes.h"
#include "ckpt/sys/socket_address.h"
#include "ckpt/sys/socket_options.h"

namespace drover {

namespace {

constexpr std::int32_t kMaxPid = 1 << 22;
constexpr std::size_t kMaxRights = 253;  // SCM_MAX_FD

void require(bool sound, const char* what) {
  if (!sound) throw ImageError(std::string("damaged image: ") + what);
}

bool is_user(const SocketUser& user) { return user.pid >= 0 && user.pid <= kMaxPid; }

// Empty, or what the kernel could have told.
bool is_address(const SocketAddress& address, int domain) {
  if (address.empty()) return true;
  if (family_of(address) != domain) return false;
  if (domain == AF_INET) return address.size() == sizeof(sockaddr_in);
  if (domain == AF_INET6) return address.size() == sizeof(sockaddr_in6);
  // A path that fills sun_path is told with the NUL that it has no room for (unix(7), BUGS).
  return address.size() > sizeof(sa_family_t) && address.size() <= sizeof(sockaddr_un) + 1;
}

class Checker {
 public:
  explicit Checker(const OpenFilesState& files) : files_(files) {}

  void check_all() {
    for (std::size_t i = 0; i < files_.files.size(); ++i) {
      const OpenFileState& file = files_.files[i];
      require((file.kind == FileKind::Socket) == file.socket.has_value(), "a socket without its state");
      if (!file.socket) continue;
      check_self(*file.socket);
      check_options(*file.socket);
      if (file.socket->domain == AF_UNIX)
        check_unix(*file.socket, i);
      else
        check_inet(*file.socket);
      check_queue(*file.socket);
    }
    // Routes look at all of them.
    for (std::size_t i = 0; i < files_.files.size(); ++i) {
      const auto& socket = files_.files[i].socket;
      if (!socket || socket->domain == AF_UNIX) continue;
      for (const SocketMessage& message : socket->queue)
        require(find_udp_route(files_, i, message).has_value(), "a datagram from elsewhere");
    }
  }

 private:
  static void check_self(const SocketState& s) {
    const bool of_unix = s.domain == AF_UNIX;
    require(of_unix || s.domain == AF_INET || s.domain == AF_INET6, "a socket of an unknown domain");
    const bool known = of_unix ? (s.type == SOCK_STREAM || s.type == SOCK_DGRAM || s.type == SOCK_SEQPACKET) &&
                                     (s.protocol == 0 || s.protocol == PF_UNIX)
                               : (s.type == SOCK_STREAM && s.protocol == IPPROTO_TCP) ||
                                     (s.type == SOCK_DGRAM && s.protocol == IPPROTO_UDP);
    require(known, "a socket of an unknown type");
    require(is_address(s.name, s.domain) && is_address(s.peer_name, s.domain), "a socket with an odd name");
    require(s.shut_down <= 3 && is_user(s.peer_user), "a socket that can't be");
    require(!s.listening || (!s.connected && !s.name.empty() && s.backlog <= (1U << 31) - 1 && s.queue.empty()),
            "a socket that can't listen");
    require(s.listening || s.pending.empty(), "a connection that waits for nobody");
    const bool has_path = of_unix && !s.name.empty() && !is_abstract(s.name);
    require(!s.file || (has_path && !s.accepted), "a socket's file without a name");
    if (!s.file) return;
    const std::string& path = s.file->path;
    require(path.size() > 1 && path.size() < PATH_MAX && path[0] == '/' && path.find('\0') == std::string::npos &&
                S_ISSOCK(s.file->mode),
            "a socket's file that can't be");
  }

  static void check_options(const SocketState& s) {
    for (const SocketOption& option : s.options) {
      const SocketOptionKind* const kind = find_socket_option(option.level, option.name);
      require(kind != nullptr && option.value.size() <= kind->bytes, "an unknown option of a socket");
    }
  }

  const SocketState* unix_socket(std::size_t index) const {
    if (index >= files_.files.size()) return nullptr;
    const auto& socket = files_.files[index].socket;
    return socket && socket->domain == AF_UNIX ? &*socket : nullptr;
  }

  void check_unix(const SocketState& s, std::size_t index) {
    require(!s.listening || s.type != SOCK_DGRAM, "a socket that can't listen");
    require(!s.accepted || (s.connected && !s.name.empty() && s.type != SOCK_DGRAM), "a socket that nobody accepted");
    require(!s.reset || (s.connected && s.peer < 0 && s.type != SOCK_DGRAM), "a connection that nobody reset");
    for (const PendingConnection& pending : s.pending) {
      const SocketState* const client = unix_socket(pending.client);
      require(client != nullptr && client->type == s.type && client->connected && client->peer == -1 &&
                  client->queue.empty() && !client->accepted && is_user(pending.user) &&
                  waiting_.insert(pending.client).second,
              "a connection that can't wait");
    }
    require(s.peer >= -1 && (s.connected || s.peer < 0), "a socket of an unknown peer");
    if (s.peer < 0) return;
    const SocketState* const peer = unix_socket(static_cast<std::size_t>(s.peer));
    require(peer != nullptr && peer->type == s.type, "a socket of an unknown peer");
    const bool mutual = peer->connected && peer->peer == static_cast<std::int32_t>(index);
    require(mutual ? peer != &s || s.type == SOCK_DGRAM : s.type == SOCK_DGRAM && !peer->name.empty(),
            "a socket of another's peer");
    require(peer != &s || !s.name.empty(), "a socket of another's peer");
  }

  static void check_inet(const SocketState& s) {
    require(!s.accepted && s.peer == -1 && !s.reset && s.pending.empty(), "an IP socket with a peer");
    require(s.connected == !s.peer_name.empty() && (!s.connected || s.type == SOCK_DGRAM), "an IP socket with a peer");
    require(!s.listening || s.type == SOCK_STREAM, "a socket that can't listen");
    require(s.name.empty() || port_of(s.name) != 0, "an IP socket without a port");
    require(s.type == SOCK_DGRAM || s.queue.empty(), "data in a socket without a connection");
  }

  void check_queue(const SocketState& s) const {
    require(s.queue.empty() || s.connected || (s.type == SOCK_DGRAM && !s.name.empty()), "a message for nobody");
    for (const SocketMessage& message : s.queue) {
      require(s.type != SOCK_STREAM || !message.bytes.empty(), "a piece of nothing");
      const int from = s.domain == AF_INET6 ? family_of(message.from) : s.domain;
      require(is_address(message.from, from) && (!message.sender || is_user(*message.sender)), "an odd sender");
      require(message.descriptors.size() <= kMaxRights && (s.domain == AF_UNIX || message.descriptors.empty()),
              "too many descriptors with a message");
      for (const std::uint32_t file : message.descriptors)
        require(file < files_.files.size() && files_.files[file].kind != FileKind::Pidfd &&
                    files_.files[file].kind != FileKind::OfProcess,
                "an unknown descriptor with a message");
    }
  }

  const OpenFilesState& files_;
  std::set<std::uint32_t> waiting_;
};

}  // namespace

void check_sockets(const OpenFilesState& files) { Checker(files).check_all(); }

}  // namespace drover
