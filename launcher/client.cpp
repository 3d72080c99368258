#include "launcher/client.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "ckpt/sys/error.h"
#include "runtime/control/client_message.h"

namespace drover {

namespace {

std::string instance_name(const InstancePaths& paths) { return paths.runtime.substr(paths.runtime.rfind('/') + 1); }

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

// A DROVER_RUNTIME_DIR that is somebody else's: his droverd would not listen to us.
void expect_own(const InstancePaths& paths) {
  const std::string base = paths.runtime.substr(0, paths.runtime.rfind('/'));
  struct stat status {};
  if (::geteuid() == 0 || ::stat(base.c_str(), &status) != 0 || status.st_uid == ::geteuid()) return;
  throw NoDroverd(
      fmt::format("{} belongs to another user (uid {}), whose jobs are not yours; unset DROVER_RUNTIME_DIR, or set it "
                  "to a directory "
                  "of your own, and start your own Drover with drover up",
                  base, status.st_uid));
}

}  // namespace

int RequestError::exit_code(int other) const {
  if (code_ == "bad-request") return 2;
  if (code_ == "not-found") return 127;
  if (code_ == "not-executable") return 126;
  return other;
}

Client Client::connect(const InstancePaths& paths, const std::string& at) {
  const char* variable = std::getenv("DROVER_NODE");
  const std::string wanted = !at.empty() ? at : variable != nullptr ? variable : "";
  const std::vector<std::string> here = local_nodes(paths);
  if (wanted.find('/') != std::string::npos)
    throw NoDroverd(fmt::format("node {}: not a node's name; this host has: {}", wanted, join(here)));
  for (const std::string& node : wanted.empty() ? here : std::vector<std::string>{wanted}) {
    try {
      return {Connection::connect(paths.control_socket(node)), node};
    } catch (const SystemError&) {  // left over by a droverd that was killed, or not there
    }
  }
  expect_own(paths);
  if (here.empty() || wanted.empty())
    throw NoDroverd(fmt::format("instance {}: no droverd answers on this host; start one with: drover up -n 4",
                                instance_name(paths)));
  throw NoDroverd(fmt::format("node {}: no droverd of that name answers on this host; try --at with one of: {}", wanted,
                              join(here)));
}

void Client::send_request(Json request) {
  request["version"] = DROVER_VERSION;
  try {
    connection_.send(static_cast<std::uint16_t>(ClientMessage::Request),
                     request.dump(-1, ' ', false, Json::error_handler_t::replace));
  } catch (const SystemError& error) {
    // Who is refused at once is told so and hung up on, perhaps before he has said anything.
    if (error.error() == EPIPE) parse_reply(receive());
    throw NoDroverd(fmt::format("node {}: its droverd went away ({}); try again", node_, error_text(error.error())));
  }
}

Frame Client::receive() {
  std::optional<Frame> frame;
  try {
    frame = connection_.receive();
  } catch (const SystemError& error) {
    throw NoDroverd(fmt::format("node {}: its droverd went away ({}); try again", node_, error_text(error.error())));
  }
  if (!frame) throw NoDroverd(fmt::format("node {}: its droverd went away before it answered; try again", node_));
  return std::move(*frame);
}

Json Client::parse_reply(const Frame& frame) {
  Json reply = Json::parse(frame.payload, nullptr, false);
  if (!reply.is_object()) throw ProtocolError("the reply is not a JSON object");
  if (reply.value("ok", false)) return reply;
  throw RequestError(reply.value("code", "failed"), reply.value("error", "the request failed without a reason"));
}

// A list that is too long for one frame comes in parts: items with the same field, and the rest in the reply.
Json Client::request(Json request) {
  send_request(std::move(request));
  Json parts = Json::object();
  for (;;) {
    const Frame frame = receive();
    if (frame.type == static_cast<std::uint16_t>(ClientMessage::Item)) {
      Json item = Json::parse(frame.payload, nullptr, false);
      for (auto& [name, part] : item.items())
        if (part.is_array())
          for (Json& element : part) parts[name].push_back(std::move(element));
    }
    if (frame.type != static_cast<std::uint16_t>(ClientMessage::Reply)) continue;
    Json reply = parse_reply(frame);
    for (auto& [name, part] : parts.items()) {
      for (Json& element : reply[name]) part.push_back(std::move(element));
      reply[name] = std::move(part);
    }
    return reply;
  }
}

}  // namespace drover
