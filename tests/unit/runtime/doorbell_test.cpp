#include "runtime/mpi/doorbell.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace drover::mpi {
namespace {

std::string range_of(std::uint16_t first, std::uint16_t last) {
  return std::to_string(first) + "-" + std::to_string(last);
}

TEST(PortRange, IsFirstAndLast) {
  EXPECT_EQ(parse_port_range("9000-9100"), (std::pair<std::uint16_t, std::uint16_t>(9000, 9100)));
  EXPECT_EQ(parse_port_range("1-65535"), (std::pair<std::uint16_t, std::uint16_t>(1, 65535)));
  EXPECT_EQ(parse_port_range("7-7"), (std::pair<std::uint16_t, std::uint16_t>(7, 7)));
}

TEST(PortRange, AnythingElseIsRefused) {
  for (const char* text :
       {"", "9000", "9000-", "-9000", "9100-9000", "0-9", "1-65536", "a-b", "1-2x", "1 - 2", "1-2-3"})
    EXPECT_THROW(parse_port_range(text), std::invalid_argument) << text;
}

TEST(Doorbell, TakesAnyPortWithoutARange) { EXPECT_NE(Doorbell("").address().port, 0); }

TEST(Doorbell, TakesTheFirstFreePortOfItsRange) {
  const Doorbell taken("");
  const std::uint16_t port = taken.address().port;
  if (port > 65535 - 200) GTEST_SKIP() << "port " << port << " leaves no room above it";
  const Doorbell next("", range_of(port, port + 100));
  EXPECT_GT(next.address().port, port);
  EXPECT_LE(next.address().port, port + 100);
  const Doorbell after("", range_of(port, port + 100));
  EXPECT_GT(after.address().port, next.address().port);
}

TEST(Doorbell, SaysThatItsRangeIsTaken) {
  const Doorbell taken("");
  const std::string range = range_of(taken.address().port, taken.address().port);
  try {
    const Doorbell none("", range);
    FAIL() << "bound a port that was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(range), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("taken"), std::string::npos) << error.what();
  }
}

TEST(Doorbell, RingsThatAreNotOfThisWorldAreIgnored) {
  Doorbell one(""), other("");
  const std::vector<DoorbellAddress> peers{one.address(), other.address()};
  one.set_peers(peers, {true, true}, 1, 0);
  other.set_peers(peers, {true, true}, 2, 1);
  const auto no_heartbeat = [](int, std::span<const std::byte>) { FAIL() << "a stranger's heartbeat"; };
  one.ring(1);
  EXPECT_FALSE(other.drain(no_heartbeat));
  other.set_peers(peers, {true, true}, 1, 1);
  one.ring(1);  // over the loopback interface a datagram has arrived when sendto returns
  EXPECT_TRUE(other.drain(no_heartbeat));
}

}  // namespace
}  // namespace drover::mpi
