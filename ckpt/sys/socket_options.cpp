#include "ckpt/sys/socket_options.h"

#include <linux/in6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <array>

namespace drover {

static constexpr std::size_t kInt = sizeof(int);
#define DROVER_OPTION(level, name, bytes) \
  SocketOptionKind { level, name, #name, bytes }
// Left out: what a socket only tells, what tunes one connection as it goes (TCP_QUICKACK, TCP_CORK), and what holds
// resources of the kernel (memberships, filters, keys), which is looked for by other means.
static constexpr std::array kKinds = {
    DROVER_OPTION(SOL_SOCKET, SO_REUSEADDR, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_REUSEPORT, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_KEEPALIVE, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_BROADCAST, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_OOBINLINE, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_DONTROUTE, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_NO_CHECK, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_LINGER, sizeof(linger)),
    DROVER_OPTION(SOL_SOCKET, SO_PASSCRED, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_PASSSEC, kInt),
    SocketOptionKind{SOL_SOCKET, 76, "SO_PASSPIDFD", kInt},  // Linux >= 6.5
    DROVER_OPTION(SOL_SOCKET, SO_TIMESTAMP, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_TIMESTAMPNS, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_TIMESTAMPING, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_RXQ_OVFL, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_BUSY_POLL, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_BINDTODEVICE, 16),
    DROVER_OPTION(IPPROTO_IP, IP_TOS, kInt),
    DROVER_OPTION(SOL_SOCKET, SO_PRIORITY, kInt),  // IP_TOS changes it
    DROVER_OPTION(SOL_SOCKET, SO_MARK, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_TTL, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_MTU_DISCOVER, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_FREEBIND, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_TRANSPARENT, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_PKTINFO, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_RECVTOS, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_RECVTTL, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_RECVERR, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_MULTICAST_TTL, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_MULTICAST_LOOP, kInt),
    DROVER_OPTION(IPPROTO_IP, IP_MULTICAST_ALL, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_V6ONLY, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_TCLASS, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, kInt),
    DROVER_OPTION(IPPROTO_IPV6, IPV6_RECVERR, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_NODELAY, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_MAXSEG, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_KEEPIDLE, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_KEEPINTVL, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_KEEPCNT, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_SYNCNT, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_LINGER2, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_WINDOW_CLAMP, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_CONGESTION, 16),
    DROVER_OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT, kInt),
    DROVER_OPTION(IPPROTO_TCP, TCP_FASTOPEN, kInt),
    DROVER_OPTION(IPPROTO_UDP, UDP_SEGMENT, kInt),
    DROVER_OPTION(IPPROTO_UDP, UDP_GRO, kInt),
};
#undef DROVER_OPTION

std::span<const SocketOptionKind> socket_option_kinds() { return kKinds; }

const SocketOptionKind* find_socket_option(int level, int name) {
  for (const SocketOptionKind& kind : kKinds) {
    if (kind.level == level && kind.name == name) return &kind;
  }
  return nullptr;
}

std::optional<std::vector<std::byte>> read_socket_option(int socket, const SocketOptionKind& kind) {
  std::vector<std::byte> value(kind.bytes);
  auto size = static_cast<socklen_t>(value.size());
  if (::getsockopt(socket, kind.level, kind.name, value.data(), &size) != 0) return std::nullopt;
  value.resize(size);
  return value;
}

}  // namespace drover
