#include "runtime/control/metrics_server.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <sstream>

#include "ckpt/sys/error.h"

namespace drover {

namespace http = boost::beast::http;

namespace {
constexpr std::size_t kMostRequestBytes = 8192, kMostClients = 16;
constexpr auto kDeadline = std::chrono::seconds(10);  // for a whole request and its answer
}  // namespace

MetricsServer::MetricsServer(EventLoop& loop, std::uint16_t port, std::function<std::string()> text)
    : loop_(loop), text_(std::move(text)) {
  listener_.reset(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  const int one = 1;  // else the connections of the last world would keep the port
  check(::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "SO_REUSEADDR");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string name = "127.0.0.1:" + std::to_string(port);
  check(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind", name);
  check(::listen(listener_.get(), 8), "listen", name);
  loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept(); });
}

MetricsServer::~MetricsServer() {
  while (!clients_.empty()) drop(clients_.begin()->first);
  loop_.forget(listener_.get());
}

void MetricsServer::accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd || clients_.size() >= kMostClients) return;
  const int number = fd.get();
  Client& client = clients_[number];
  client.fd = std::move(fd);
  client.deadline = loop_.after(kDeadline, [this, number] { drop(number); });
  loop_.watch(number, EPOLLIN, [this, number](std::uint32_t) {
    if (clients_.at(number).reply.empty())
      receive(number);
    else
      send(number);
  });
}

void MetricsServer::receive(int fd) {
  Client& client = clients_.at(fd);
  char bytes[4096];
  const ssize_t n = ::read(fd, bytes, sizeof bytes);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return drop(fd);
  client.request.append(bytes, static_cast<std::size_t>(n));
  const bool whole = client.request.find("\r\n\r\n") != std::string::npos;
  if (!whole && client.request.size() < kMostRequestBytes) return;
  client.reply = answer(client.request);
  loop_.change(fd, EPOLLOUT);
}

void MetricsServer::send(int fd) {
  Client& client = clients_.at(fd);
  const ssize_t n = ::send(fd, client.reply.data(), client.reply.size(), MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) client.reply.erase(0, static_cast<std::size_t>(n));
  if (n < 0 || client.reply.empty()) drop(fd);
}

void MetricsServer::drop(int fd) {
  const auto client = clients_.find(fd);
  loop_.cancel(client->second.deadline);
  loop_.forget(fd);
  ::shutdown(fd, SHUT_WR);
  clients_.erase(client);
}

std::string MetricsServer::answer(const std::string& request) const {
  http::request_parser<http::empty_body> parser;
  boost::beast::error_code error;
  parser.eager(false);
  parser.put(boost::asio::buffer(request), error);
  http::response<http::string_body> response;
  response.version(11);
  response.keep_alive(false);
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  const auto refuse = [&](http::status status, const char* why) {
    response.result(status);
    response.body() = std::string(why) + "\n";
  };
  if (error || !parser.is_header_done()) {
    refuse(http::status::bad_request, "not a request of HTTP");
  } else if (parser.get().method() != http::verb::get) {
    refuse(http::status::method_not_allowed, "only GET is here");
    response.set(http::field::allow, "GET");
  } else if (parser.get().target() != "/metrics") {
    refuse(http::status::not_found, "only /metrics is here");
  } else {
    response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    response.body() = text_();
  }
  response.prepare_payload();
  std::ostringstream text;
  text << response;
  return std::move(text).str();
}

}  // namespace drover
