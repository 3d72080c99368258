// A node's figures over HTTP, for Prometheus to fetch: on the loopback interface alone, since whoever reaches it may
// read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "runtime/control/loop.h"

namespace drover {

class MetricsServer {
 public:
  // Listens on 127.0.0.1:`port`. `text` makes what GET /metrics answers. Throws SystemError: EADDRINUSE where another
  // droverd of the host was first.
  MetricsServer(EventLoop& loop, std::uint16_t port, std::function<std::string()> text);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

 private:
  struct Client {
    UniqueFd fd;
    std::string request, reply;
    EventLoop::TimerId deadline = 0;
  };

  void accept();
  void receive(int fd);
  void send(int fd);
  void drop(int fd);
  std::string answer(const std::string& request) const;

  EventLoop& loop_;
  std::function<std::string()> text_;
  UniqueFd listener_;
  std::map<int, Client> clients_;
};

}  // namespace drover
