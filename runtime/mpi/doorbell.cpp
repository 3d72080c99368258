#include "runtime/mpi/doorbell.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>

#include <bit>
#include <charconv>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "ckpt/sys/error.h"

namespace drover::mpi {

namespace {

struct Header {
  std::uint64_t cookie;
  std::int32_t rank;
  std::uint8_t kind;
  std::uint8_t zero[3];
};
constexpr std::uint8_t kRing = 1, kHeartbeat = 2;
constexpr std::size_t kMaxPayload = 1400;  // with its headers it fits an Ethernet frame

std::uint32_t mask_of(int prefix) { return prefix == 0 ? 0 : ~0U << (32 - prefix); }

void list_addresses(DoorbellAddress& own, const std::string& network) {
  std::optional<std::pair<std::uint32_t, int>> wanted;
  if (!network.empty()) wanted = parse_cidr(network);
  ifaddrs* list = nullptr;
  drover::check(::getifaddrs(&list), "getifaddrs");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET || (entry->ifa_flags & IFF_LOOPBACK) != 0 ||
        (entry->ifa_flags & IFF_UP) == 0 || own.count == DoorbellAddress::kMaxAddresses)
      continue;
    const auto ip = [](const sockaddr* address) {
      return ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
    };
    const std::uint32_t address = ip(entry->ifa_addr);
    if (wanted && (address & mask_of(wanted->second)) != wanted->first) continue;
    own.address[own.count] = address;
    own.prefix[own.count] = static_cast<std::uint8_t>(std::popcount(ip(entry->ifa_netmask)));
    ++own.count;
  }
}

// True if `fd` has the port now (0: any), false if somebody else has it.
bool bind_port(int fd, std::uint16_t port) {
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_port = htons(port);
  any.sin_addr.s_addr = htonl(INADDR_ANY);
  const int result = ::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any);
  if (result < 0 && errno == EADDRINUSE) return false;
  drover::check(result, "bind", fmt::format("doorbell, UDP port {}", port));
  return true;
}

// The ranks of one host share the range: each takes the first port that is left.
void bind_within(int fd, const std::string& port_range) {
  const auto [first, last] = parse_port_range(port_range);
  for (int port = first; port <= last; ++port)
    if (bind_port(fd, static_cast<std::uint16_t>(port))) return;
  throw std::runtime_error(fmt::format(
      "port range {}: every UDP port of it is taken on this host; give a range with one port a node and some more",
      port_range));
}

}  // namespace

std::pair<std::uint16_t, std::uint16_t> parse_port_range(const std::string& text) {
  std::uint16_t first = 0, last = 0;
  const char* end = text.data() + text.size();
  const auto [dash, first_error] = std::from_chars(text.data(), end, first);
  bool good = first_error == std::errc() && dash != end && *dash == '-';
  if (good) {
    const auto [stop, last_error] = std::from_chars(dash + 1, end, last);
    good = last_error == std::errc() && stop == end && first >= 1 && first <= last;
  }
  if (!good) throw std::invalid_argument(fmt::format("'{}' is not a range of ports such as 9000-9100", text));
  return {first, last};
}

std::pair<std::uint32_t, int> parse_cidr(const std::string& text) {
  const auto slash = text.find('/');
  in_addr address{};
  int prefix = 32;
  bool good = ::inet_pton(AF_INET, text.substr(0, slash).c_str(), &address) == 1;
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, prefix);
    good = good && error == std::errc() && stop == end && prefix >= 0 && prefix <= 32;
  }
  if (!good) throw std::invalid_argument(fmt::format("'{}' is not a network such as 10.0.0.0/16", text));
  return {ntohl(address.s_addr) & mask_of(prefix), prefix};
}

std::optional<std::uint32_t> choose_address(const DoorbellAddress& own, const DoorbellAddress& peer) {
  for (std::size_t p = 0; p < peer.count; ++p)
    for (std::size_t o = 0; o < own.count; ++o) {
      const std::uint32_t mask = mask_of(own.prefix[o]);
      if ((peer.address[p] & mask) == (own.address[o] & mask)) return peer.address[p];
    }
  if (peer.count > 0) return peer.address[0];
  return std::nullopt;
}

Doorbell::Doorbell(const std::string& network, const std::string& port_range) {
  list_addresses(own_, network);
  socket_.reset(drover::check(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
  if (!port_range.empty()) {
    bind_within(socket_.get(), port_range);
  } else if (!bind_port(socket_.get(), 0)) {
    throw std::runtime_error("doorbell: no UDP port is free on this host");
  }
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  drover::check(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&bound), &size), "getsockname");
  own_.port = ntohs(bound.sin_port);
}

void Doorbell::set_peers(const std::vector<DoorbellAddress>& peers, const std::vector<bool>& same_host,
                         std::uint64_t cookie, int self) {
  cookie_ = cookie;
  self_ = self;
  peers_.assign(peers.size(), sockaddr_in{});
  for (std::size_t rank = 0; rank < peers.size(); ++rank) {
    const auto chosen =
        same_host[rank] ? std::optional<std::uint32_t>(INADDR_LOOPBACK) : choose_address(own_, peers[rank]);
    if (!chosen) continue;  // never rung: it finds its messages at its next tick
    peers_[rank].sin_family = AF_INET;
    peers_[rank].sin_port = htons(peers[rank].port);
    peers_[rank].sin_addr.s_addr = htonl(*chosen);
  }
}

void Doorbell::send(int rank, std::uint8_t kind, std::span<const std::byte> payload) {
  const sockaddr_in& peer = peers_.at(static_cast<std::size_t>(rank));
  if (peer.sin_family == 0 || payload.size() > kMaxPayload) return;
  std::array<std::byte, sizeof(Header) + kMaxPayload> packet;
  const Header header{cookie_, self_, kind, {}};
  std::memcpy(packet.data(), &header, sizeof header);
  if (!payload.empty()) std::memcpy(packet.data() + sizeof header, payload.data(), payload.size());
  // A full socket or an unreachable peer loses the datagram, which is allowed to happen.
  ::sendto(socket_.get(), packet.data(), sizeof header + payload.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
}

void Doorbell::ring(int rank) { send(rank, kRing, {}); }
void Doorbell::send_heartbeat(int rank, std::span<const std::byte> payload) { send(rank, kHeartbeat, payload); }

bool Doorbell::drain(const std::function<void(int, std::span<const std::byte>)>& heartbeat) {
  bool any = false;
  std::array<std::byte, sizeof(Header) + kMaxPayload> packet;
  for (;;) {
    const ssize_t n = ::recv(socket_.get(), packet.data(), packet.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ECONNREFUSED) continue;  // an earlier ring met no one
    if (n < 0) return any;
    Header header;
    if (static_cast<std::size_t>(n) < sizeof header) continue;
    std::memcpy(&header, packet.data(), sizeof header);
    if (header.cookie != cookie_ || header.rank < 0 || static_cast<std::size_t>(header.rank) >= peers_.size()) continue;
    if (header.kind == kRing) any = true;
    if (header.kind == kHeartbeat)
      heartbeat(header.rank, std::span(packet).subspan(sizeof header, static_cast<std::size_t>(n) - sizeof header));
  }
}

}  // namespace drover::mpi
