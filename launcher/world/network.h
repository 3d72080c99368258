// This host's own addresses: which network `--net` means here, and which name of a hostfile means this host.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace drover {

struct Interface {
  std::string name;           // "eth0"
  std::uint32_t address = 0;  // IPv4, host byte order
  int prefix = 0;             // bits of its network
  bool loopback = false;
};

// Those that are up, with loopback. Throws SystemError.
std::vector<Interface> local_interfaces();

// Throws std::runtime_error if `network` is not an IPv4 network such as 10.0.0.0/24, or if none of `interfaces` has an
// address in it: Open MPI would warn, and use every network.
void check_network(const std::string& network, const std::vector<Interface>& interfaces);

// True for "localhost", this host's name, and names of its addresses; "user@" before it does not matter. May ask DNS.
bool is_this_host(const std::string& name);

// The first ports from `first` to `last` on which nobody listens here now, at most `most` of them.
std::vector<int> free_tcp_ports(int first, int last, std::size_t most);

}  // namespace drover
