#include "launcher/world/network.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <memory>
#include <stdexcept>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

namespace {

std::uint32_t ip(const sockaddr* address) {
  return ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
}

std::uint32_t mask_of(int prefix) { return prefix == 0 ? 0 : ~0U << (32 - prefix); }

std::string network_text(const Interface& interface) {
  const in_addr network{htonl(interface.address & mask_of(interface.prefix))};
  char text[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &network, text, sizeof text);
  return fmt::format("{}/{} ({})", text, interface.prefix, interface.name);
}

}  // namespace

std::vector<Interface> local_interfaces() {
  ifaddrs* list = nullptr;
  check(::getifaddrs(&list), "getifaddrs");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<Interface> interfaces;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next)
    if (entry->ifa_addr != nullptr && entry->ifa_addr->sa_family == AF_INET && (entry->ifa_flags & IFF_UP) != 0)
      interfaces.push_back({entry->ifa_name, ip(entry->ifa_addr), std::popcount(ip(entry->ifa_netmask)),
                            (entry->ifa_flags & IFF_LOOPBACK) != 0});
  return interfaces;
}

void check_network(const std::string& network, const std::vector<Interface>& interfaces) {
  const auto slash = network.find('/');
  in_addr address{};
  int bits = -1;
  const char* const end = network.data() + network.size();
  bool good = slash != std::string::npos && ::inet_pton(AF_INET, network.substr(0, slash).c_str(), &address) == 1;
  if (good) {
    const auto [stop, error] = std::from_chars(network.data() + slash + 1, end, bits);
    good = error == std::errc{} && stop == end && bits >= 0 && bits <= 32;
  }
  if (!good) throw std::runtime_error(fmt::format("--net {}: must be an IPv4 network such as 10.0.0.0/24", network));
  std::vector<std::string> others;
  for (const Interface& interface : interfaces) {
    if (((interface.address ^ ntohl(address.s_addr)) & mask_of(bits)) == 0) return;
    if (!interface.loopback) others.push_back(network_text(interface));
  }
  throw std::runtime_error(fmt::format("--net {}: this host has no address in it; its networks are: {}", network,
                                       others.empty() ? "none" : fmt::format("{}", fmt::join(others, ", "))));
}

bool is_this_host(const std::string& name) {
  const std::string host = name.substr(name.find('@') + 1);  // npos + 1 is 0
  char own[256] = {};
  ::gethostname(own, sizeof own - 1);
  if (host == "localhost" || host == own) return true;
  addrinfo hints{}, *list = nullptr;
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  const auto interfaces = local_interfaces();
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next)
    if (std::any_of(interfaces.begin(), interfaces.end(),
                    [&](const Interface& interface) { return interface.address == ip(entry->ai_addr); }))
      return true;
  return false;
}

std::vector<int> free_tcp_ports(int first, int last, std::size_t most) {
  std::vector<int> free;
  for (int port = first; port <= last && free.size() < most; ++port) {
    const UniqueFd fd(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    const int on = 1;  // connections that linger from an earlier world are no hindrance: mpirun sets the same
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(static_cast<std::uint16_t>(port));
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0) free.push_back(port);
  }
  return free;
}

}  // namespace drover
