// UDP sockets, and TCP sockets without a connection.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>

#include <cstring>

#include "ckpt/dump/sockets.h"
#include "ckpt/sys/socket_address.h"
#include "ckpt/sys/text.h"

namespace drover {

// `group`: an address of /proc/net/igmp or igmp6 as bytes. A socket that is not in the group says so (ip(7),
// MCAST_MSFILTER; EADDRNOTAVAIL).
static bool is_member(const UniqueFd& socket, int domain, unsigned interface, const void* group) {
  group_filter ask{};
  ask.gf_interface = interface;
  ask.gf_group.ss_family = static_cast<sa_family_t>(domain);
  if (domain == AF_INET)
    std::memcpy(&reinterpret_cast<sockaddr_in&>(ask.gf_group).sin_addr, group, sizeof(in_addr));
  else
    std::memcpy(&reinterpret_cast<sockaddr_in6&>(ask.gf_group).sin6_addr, group, sizeof(in6_addr));
  socklen_t size = sizeof ask;
  const int level = domain == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  return ::getsockopt(socket.get(), level, MCAST_MSFILTER, &ask, &size) == 0;
}

// A line "2 eth0 : 3 V3" names an interface, those indented below it its groups.
static bool in_group_v4(const UniqueFd& socket) {
  const auto text = try_read_text("/proc/net/igmp");
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  unsigned interface = 0;
  for (std::string_view line; next_line(rest, line);) {
    const bool indented = line.starts_with('\t');
    const auto word = next_word(line);
    if (!indented) interface = static_cast<unsigned>(to_number(word).value_or(0));
    const auto group = to_number(word, 16);
    if (!indented || !group) continue;
    const auto address = static_cast<in_addr_t>(*group);  // printed as it lies in memory
    if (is_member(socket, AF_INET, interface, &address)) return true;
  }
  return false;
}

// "2 eth0 ff0200000000000000000000000000fb 1 00000004 0"
static bool in_group_v6(const UniqueFd& socket) {
  const auto text = try_read_text("/proc/net/igmp6");
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  for (std::string_view line; next_line(rest, line);) {
    const auto interface = to_number(next_word(line));
    next_word(line);
    const auto digits = next_word(line);
    in6_addr address{};
    if (!interface || digits.size() != 2 * sizeof address) continue;
    for (std::size_t i = 0; i < sizeof address; ++i)
      address.s6_addr[i] = static_cast<std::uint8_t>(to_number(digits.substr(2 * i, 2), 16).value_or(0));
    if (is_member(socket, AF_INET6, static_cast<unsigned>(*interface), &address)) return true;
  }
  return false;
}

static short poll_events(const UniqueFd& socket) {
  pollfd ask{socket.get(), POLLIN | POLLRDHUP, 0};
  return ::poll(&ask, 1, 0) == 1 ? ask.revents : short{0};
}

static std::optional<Refusal> plan_tcp(const UniqueFd& socket, const std::string& name, SocketState& state) {
  const auto info = socket_option(socket, IPPROTO_TCP, TCP_INFO, tcp_info{});
  state.listening = info.tcpi_state == TCP_LISTEN;
  if (!state.listening && info.tcpi_state != TCP_CLOSE)
    return Refusal{fmt::format("holds a TCP socket that is connected, {}", name)};
  // tcp_done() shuts down both ways: so has one that was connected and is no more.
  if (!state.listening && (poll_events(socket) & (POLLIN | POLLRDHUP | POLLERR)) != 0)
    return Refusal{fmt::format("holds a TCP socket that was connected, {}", name)};
  if (socket_option(socket, IPPROTO_TCP, TCP_REPAIR, 0) != 0)
    return Refusal{fmt::format("holds a TCP socket under repair, {}", name)};
  if (!state.listening) return std::nullopt;
  // Of one that listens these two are the connections that wait, and how many may (tcp_get_info()).
  if (info.tcpi_unacked != 0)
    return Refusal{fmt::format("has a connection that waits to be accepted, of a TCP socket, {}", name)};
  state.backlog = info.tcpi_sacked;
  return std::nullopt;
}

static std::optional<Refusal> plan_udp(const UniqueFd& socket, const std::string& name, SocketState& state) {
  state.peer_name = address_of(socket, true);
  state.connected = !state.peer_name.empty();
  const bool odd = socket_option(socket, IPPROTO_UDP, UDP_CORK, 0) != 0 ||
                   socket_option(socket, IPPROTO_UDP, UDP_ENCAP, 0) != 0 ||
                   (poll_events(socket) & (POLLRDHUP | POLLERR)) != 0;
  if (odd)
    return Refusal{fmt::format("holds a UDP socket that is corked, shut down, a tunnel or has an error, {}", name)};
  if (in_group_v4(socket) || (state.domain == AF_INET6 && in_group_v6(socket)))
    return Refusal{fmt::format("holds a UDP socket in a multicast group, {}", name)};
  return std::nullopt;
}

std::optional<Refusal> plan_inet_socket(const UniqueFd& socket, const std::string& name, const DumpOptions& options,
                                        SocketState& state) {
  const bool tcp = state.type == SOCK_STREAM;
  // The kernel shows an address and port 0 of one that is not bound.
  if (port_of(state.name) == 0) state.name.clear();
  if (auto refusal = tcp ? plan_tcp(socket, name, state) : plan_udp(socket, name, state)) return refusal;
  if (!state.name.empty() && !options.network_names)
    return Refusal{fmt::format("holds the {} port {}, {}", tcp ? "TCP" : "UDP", show_address(state.name), name)};
  return std::nullopt;
}

}  // namespace drover
