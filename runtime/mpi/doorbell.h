// The doorbell: a datagram that tells a sleeping rank to look at its MPI receives, and the heartbeats that tell who is
// late. Rings are hints: their loss costs one tick, a forged one costs a look. Heartbeats count for membership, so both
// carry the world's secret cookie.
#pragma once

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ckpt/sys/unique_fd.h"

namespace drover::mpi {

// Where a rank can be rung: its port and the IPv4 addresses of its interfaces with their prefix lengths.
struct DoorbellAddress {
  static constexpr std::size_t kMaxAddresses = 8;
  std::uint16_t port = 0;
  std::uint16_t count = 0;
  std::array<std::uint32_t, kMaxAddresses> address{};  // host byte order
  std::array<std::uint8_t, kMaxAddresses> prefix{};
};

class Doorbell {
 public:
  // Opens the socket. `network` is a CIDR ("10.77.0.0/24") that addresses must lie in, empty: any. `port_range` ("A-B")
  // is for hosts behind a firewall: the first port of it that is free here, empty: any. Throws std::invalid_argument
  // naming a text that is neither, std::runtime_error if every port of the range is taken.
  explicit Doorbell(const std::string& network, const std::string& port_range = "");
  const DoorbellAddress& address() const { return own_; }
  int fd() const { return socket_.get(); }

  // `same_host[r]`: rank r is on this host and is rung over the loopback interface.
  void set_peers(const std::vector<DoorbellAddress>& peers, const std::vector<bool>& same_host, std::uint64_t cookie,
                 int self);
  void ring(int rank);
  void send_heartbeat(int rank, std::span<const std::byte> payload);
  // Empties the socket; `heartbeat` gets each genuine heartbeat. True if the bell was rung: heartbeats are no reason to
  // stay awake.
  bool drain(const std::function<void(int rank, std::span<const std::byte> payload)>& heartbeat);

 private:
  void send(int rank, std::uint8_t kind, std::span<const std::byte> payload);
  UniqueFd socket_;
  DoorbellAddress own_;
  std::vector<sockaddr_in> peers_;
  std::uint64_t cookie_ = 0;
  int self_ = -1;
};

// "10.77.0.0/24" → network and prefix. Throws std::invalid_argument naming the text.
std::pair<std::uint32_t, int> parse_cidr(const std::string& text);
// "9000-9100" → first and last port, 1 to 65535. Throws std::invalid_argument naming the text.
std::pair<std::uint16_t, std::uint16_t> parse_port_range(const std::string& text);
// The address of `peer` that shares a subnet with one of `own`, else its first.
std::optional<std::uint32_t> choose_address(const DoorbellAddress& own, const DoorbellAddress& peer);

}  // namespace drover::mpi
