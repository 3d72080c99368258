// Socket addresses as bytes, family included, as getsockname(2) tells them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace drover {

// AF_UNSPEC (0) of an empty one.
int family_of(std::span<const std::byte> address);
// Of an IP address, in host order; 0: none, or no IP address.
std::uint16_t port_of(std::span<const std::byte> address);
// The path of a unix address; empty if it is abstract, or no unix address.
std::string path_of(std::span<const std::byte> address);
// A unix address that is no path but a name by itself.
bool is_abstract(std::span<const std::byte> address);
// One that the kernel has chosen: five hexadecimal digits (unix(7), autobind).
bool is_autobound(std::span<const std::byte> address);
// 127.0.0.0/8, ::1, and the same written as IPv6.
bool is_loopback(std::span<const std::byte> address);
// 0.0.0.0 or ::
bool is_wildcard(std::span<const std::byte> address);

// An IPv4 address that is written as IPv6 (::ffff:127.0.0.1) as IPv4; any other as it is.
std::vector<std::byte> unmapped(std::span<const std::byte> address);
// The reverse.
std::vector<std::byte> mapped(std::span<const std::byte> address);
// 127.0.0.1 or ::1 with that port.
std::vector<std::byte> make_loopback(int family, std::uint16_t port);
// Are these two the same IP address? Ports are not looked at.
bool same_host(std::span<const std::byte> a, std::span<const std::byte> b);

// "127.0.0.1:80", "[::1]:80", "/run/socket", "@name"
std::string show_address(std::span<const std::byte> address);

}  // namespace drover
