#include "ckpt/image/udp_routes.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "ckpt/sys/socket_address.h"

namespace drover {

static bool is_udp(const OpenFileState& file) {
  return file.socket && file.socket->domain != AF_UNIX && file.socket->type == SOCK_DGRAM;
}

// Then it is also told to which address a datagram was sent, and we do not know that.
static bool wants_destination(const SocketState& socket) {
  return std::any_of(socket.options.begin(), socket.options.end(), [](const SocketOption& option) {
    return (option.level == IPPROTO_IP && option.name == IP_PKTINFO) ||
           (option.level == IPPROTO_IPV6 && option.name == IPV6_RECVPKTINFO);
  });
}

static bool overlap(const SocketState& a, const SocketState& b) {
  return port_of(a.name) == port_of(b.name) &&
         (is_wildcard(a.name) || is_wildcard(b.name) || same_host(a.name, b.name));
}

std::optional<UdpRoute> find_udp_route(const OpenFilesState& files, std::size_t index, const SocketMessage& message) {
  const SocketState& own = *files.files[index].socket;
  UdpRoute route;
  route.from = unmapped(message.from);
  const int family = family_of(route.from);
  const bool here = is_loopback(route.from) && (is_wildcard(own.name) || is_loopback(own.name));
  if (!here || message.sender || !message.descriptors.empty() || wants_destination(own)) return std::nullopt;
  route.to = is_wildcard(own.name) ? make_loopback(family, port_of(own.name)) : unmapped(own.name);
  if (family_of(route.to) != family) return std::nullopt;
  for (std::size_t i = 0; i < files.files.size(); ++i) {
    if (!is_udp(files.files[i])) continue;
    const SocketState& other = *files.files[i].socket;
    if (i != index && overlap(own, other)) return std::nullopt;  // it may get what is for us
    if (port_of(other.name) != port_of(route.from) || port_of(route.from) == 0) continue;
    // One bound to all addresses sends from 127.0.0.1 or ::1.
    const bool from_usual = same_host(route.from, make_loopback(family, 0));
    if (!same_host(other.name, route.from) && !(is_wildcard(other.name) && from_usual)) return std::nullopt;
    route.sender = i;
    if (other.domain == AF_INET6) route.to = mapped(route.to);
  }
  return route;
}

}  // namespace drover
