#include "ckpt/sys/socket_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace drover {

template <class T>
static T as(std::span<const std::byte> address) {
  T value{};
  std::memcpy(&value, address.data(), std::min(sizeof value, address.size()));
  return value;
}

int family_of(std::span<const std::byte> address) {
  return address.size() < sizeof(sa_family_t) ? AF_UNSPEC : as<sa_family_t>(address);
}

std::uint16_t port_of(std::span<const std::byte> address) {
  const int family = family_of(address);
  if (family == AF_INET) return ntohs(as<sockaddr_in>(address).sin_port);
  return family == AF_INET6 ? ntohs(as<sockaddr_in6>(address).sin6_port) : std::uint16_t{0};
}

static std::string unix_name(std::span<const std::byte> address) {
  if (family_of(address) != AF_UNIX) return {};
  const auto name = address.subspan(sizeof(sa_family_t));
  return {reinterpret_cast<const char*>(name.data()), name.size()};
}

std::string path_of(std::span<const std::byte> address) {
  const std::string name = unix_name(address);
  return name.substr(0, name.find('\0'));
}

bool is_abstract(std::span<const std::byte> address) {
  const std::string name = unix_name(address);
  return !name.empty() && name[0] == '\0';
}

bool is_autobound(std::span<const std::byte> address) {
  const std::string name = unix_name(address);
  return is_abstract(address) && name.size() == 6 && std::all_of(name.begin() + 1, name.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// The last four bytes of an IPv6 address that stands for an IPv4 address.
static bool is_mapped_v4(const in6_addr& address) { return IN6_IS_ADDR_V4MAPPED(&address); }

bool is_loopback(std::span<const std::byte> address) {
  if (family_of(address) == AF_INET) return ntohl(as<sockaddr_in>(address).sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  if (family_of(address) != AF_INET6) return false;
  const in6_addr v6 = as<sockaddr_in6>(address).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (is_mapped_v4(v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
}

bool is_wildcard(std::span<const std::byte> address) {
  if (family_of(address) == AF_INET) return as<sockaddr_in>(address).sin_addr.s_addr == htonl(INADDR_ANY);
  if (family_of(address) != AF_INET6) return false;
  const in6_addr v6 = as<sockaddr_in6>(address).sin6_addr;
  return IN6_IS_ADDR_UNSPECIFIED(&v6);
}

template <class T>
static std::vector<std::byte> to_bytes(const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> unmapped(std::span<const std::byte> address) {
  const auto v6 = as<sockaddr_in6>(address);
  if (family_of(address) != AF_INET6 || !is_mapped_v4(v6.sin6_addr)) return {address.begin(), address.end()};
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  std::memcpy(&v4.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof v4.sin_addr);
  return to_bytes(v4);
}

std::vector<std::byte> mapped(std::span<const std::byte> address) {
  if (family_of(address) != AF_INET) return {address.begin(), address.end()};
  const auto v4 = as<sockaddr_in>(address);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = v4.sin_port;
  v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
  std::memcpy(&v6.sin6_addr.s6_addr[12], &v4.sin_addr, sizeof v4.sin_addr);
  return to_bytes(v6);
}

std::vector<std::byte> make_loopback(int family, std::uint16_t port) {
  if (family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return to_bytes(v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  return to_bytes(v6);
}

bool same_host(std::span<const std::byte> a, std::span<const std::byte> b) {
  const auto one = unmapped(a), other = unmapped(b);
  if (family_of(one) != family_of(other)) return false;
  if (family_of(one) == AF_INET) return as<sockaddr_in>(one).sin_addr.s_addr == as<sockaddr_in>(other).sin_addr.s_addr;
  const in6_addr left = as<sockaddr_in6>(one).sin6_addr, right = as<sockaddr_in6>(other).sin6_addr;
  return IN6_ARE_ADDR_EQUAL(&left, &right);
}

std::string show_address(std::span<const std::byte> address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (family_of(address)) {
    case AF_INET: {
      const auto v4 = as<sockaddr_in>(address).sin_addr;
      ::inet_ntop(AF_INET, &v4, text.data(), text.size());
      return fmt::format("{}:{}", text.data(), port_of(address));
    }
    case AF_INET6: {
      const auto v6 = as<sockaddr_in6>(address).sin6_addr;
      ::inet_ntop(AF_INET6, &v6, text.data(), text.size());
      return fmt::format("[{}]:{}", text.data(), port_of(address));
    }
    default:
      break;
  }
  if (!is_abstract(address)) return path_of(address);
  std::string name = unix_name(address);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c < ' ' || c > '~'; }, '@');
  return name;
}

}  // namespace drover
