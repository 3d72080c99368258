#include "runtime/control/metrics_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

class MetricsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (port_ = 19464; !server_ && port_ < 19564; ++port_) try {
        server_ = std::make_unique<MetricsServer>(loop_, port_, [this] { return text_; });
        break;
      } catch (const SystemError& error) {
        ASSERT_EQ(error.error(), EADDRINUSE);
      }
    ASSERT_TRUE(server_);
  }

  UniqueFd connect() {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    loop_.run_once(std::chrono::milliseconds(1));  // or those that wait to be accepted would be too many
    return fd;
  }

  // Until the server closes the connection.
  std::string read_all(const UniqueFd& fd) {
    std::string all;
    for (;;) {
      loop_.run_once(std::chrono::milliseconds(20));
      char bytes[65536];
      const ssize_t n = ::recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (n == 0) return all;
      if (n > 0) all.append(bytes, static_cast<std::size_t>(n));
      if (n < 0 && errno != EAGAIN) return all + "(reset)";
    }
  }

  std::string ask(const std::string& request) {
    const UniqueFd fd = connect();
    EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    return read_all(fd);
  }

  EventLoop loop_;
  std::string text_ = "drover_node_up{node=\"a\"} 1\n";
  std::uint16_t port_ = 0;
  std::unique_ptr<MetricsServer> server_;
};

constexpr const char* kGet = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

}  // namespace

TEST_F(MetricsServerTest, GivesTheTextWithItsTypeAndLength) {
  const std::string reply = ask(kGet);
  EXPECT_EQ(reply.find("HTTP/1.1 200 OK\r\n"), 0U) << reply;
  EXPECT_NE(reply.find("Content-Type: text/plain; version=0.0.4"), std::string::npos) << reply;
  EXPECT_NE(reply.find("Content-Length: " + std::to_string(text_.size()) + "\r\n"), std::string::npos) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\n" + text_)) << reply;
  text_ = std::string(5'000'000, 'x');  // more than a socket takes at once
  EXPECT_TRUE(ask(kGet).ends_with("\r\n\r\n" + text_));
}

TEST_F(MetricsServerTest, RefusesWhatIsNotThere) {
  EXPECT_EQ(ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").find("HTTP/1.1 404"), 0U);
  EXPECT_EQ(ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").find("HTTP/1.1 405"), 0U);
  EXPECT_EQ(ask("hello\r\n\r\n").find("HTTP/1.1 400"), 0U);
  EXPECT_EQ(ask(std::string(9000, 'a')).find("HTTP/1.1 400"), 0U);
}

TEST_F(MetricsServerTest, TakesARequestInPieces) {
  const UniqueFd fd = connect();
  const std::string request = kGet;
  for (const char c : request) {
    ASSERT_EQ(::send(fd.get(), &c, 1, MSG_NOSIGNAL), 1);
    loop_.run_once(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(read_all(fd).ends_with(text_));
}

TEST_F(MetricsServerTest, WhoSaysNothingHoldsUpNobody) {
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 10; ++i) silent.push_back(connect());
  EXPECT_TRUE(ask(kGet).ends_with(text_));
  silent.clear();  // gone without a word
  EXPECT_TRUE(ask(kGet).ends_with(text_));
}

TEST_F(MetricsServerTest, APortThatIsTakenIsToldByName) {
  try {
    const MetricsServer second(loop_, port_, [] { return std::string(); });
    FAIL();
  } catch (const SystemError& error) {
    EXPECT_EQ(error.error(), EADDRINUSE);
    EXPECT_NE(std::string(error.what()).find(std::to_string(port_)), std::string::npos);
  }
}

}  // namespace drover
