// How an unread datagram can come to lie in a UDP socket again, from the address that it came from: somebody on this
// host has to send it.
#pragma once

#include <cstddef>
#include <optional>

#include "ckpt/image/state/files.h"

namespace drover {

struct UdpRoute {
  std::optional<std::size_t> sender;  // index into OpenFilesState::files; none: a socket bound to where it came from
  SocketAddress from, to;
};

// `index`: the socket in whose queue it lies. Empty if it can't be sent again faithfully: only between loopback
// addresses it can. All sockets must be bound and none connected yet.
std::optional<UdpRoute> find_udp_route(const OpenFilesState&, std::size_t index, const SocketMessage&);

}  // namespace drover
