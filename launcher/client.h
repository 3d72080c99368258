// One conversation with a droverd on this host.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include "runtime/control/connection.h"
#include "runtime/control/paths.h"

namespace drover {

using Json = nlohmann::json;

// droverd's refusal of a request: `code` is one of PROTOCOL.md's, what() its one line.
class RequestError : public std::runtime_error {
 public:
  RequestError(std::string code, const std::string& text) : std::runtime_error(text), code_(std::move(code)) {}
  const std::string& code() const { return code_; }
  // The launcher's exit code: 2 bad-request, 127 not-found, 126 not-executable, else `other`.
  int exit_code(int other) const;

 private:
  std::string code_;
};

// No droverd to talk to, or one that went away in the middle.
class NoDroverd : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Client {
 public:
  // Connects to node `at`; if that is empty to $DROVER_NODE, else to the first of this host's nodes that answers.
  // Throws NoDroverd.
  static Client connect(const InstancePaths& paths, const std::string& at);

  const std::string& node() const { return node_; }
  Connection& connection() { return connection_; }
  int fd() const { return connection_.fd(); }

  void send_request(Json request);  // adds the version
  // Sends and waits for the reply. Throws RequestError, NoDroverd.
  Json request(Json request);
  // The next frame; throws NoDroverd at the end of the connection.
  Frame receive();
  // Parses a reply; throws RequestError if it is a refusal.
  static Json parse_reply(const Frame& frame);

 private:
  Client(Connection connection, std::string node) : connection_(std::move(connection)), node_(std::move(node)) {}
  Connection connection_;
  std::string node_;
};

}  // namespace drover
