#include "runtime/node/control_server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "ckpt/sys/error.h"

namespace drover {

using nlohmann::json;

ClientConnection::~ClientConnection() {
  *alive_ = false;
  if (attached_job != 0) server_.origin_.detach(attached_job, this);
}

void ClientConnection::reply(const json& body) {
  json whole = body;
  whole["ok"] = true;
  send(ClientMessage::Reply, whole.dump(-1, ' ', false, json::error_handler_t::replace));
}

void ClientConnection::refuse(const std::string& code, const std::string& error) {
  const json body = {{"ok", false}, {"code", code}, {"error", error}};
  send(ClientMessage::Reply, body.dump(-1, ' ', false, json::error_handler_t::replace));
}

void ClientConnection::item(const json& body) {
  send(ClientMessage::Item, body.dump(-1, ' ', false, json::error_handler_t::replace));
}

void ClientConnection::output(int stream, std::uint64_t offset, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size(); done += kMaxStreamBytes)
    send(ClientMessage::Data, encode_stream_message({static_cast<Stream>(stream), offset + done,
                                                     std::string_view(bytes).substr(done, kMaxStreamBytes)}));
}

void ClientConnection::output_end(int stream, std::uint64_t offset) {
  send(ClientMessage::End, encode_stream_message({static_cast<Stream>(stream), offset, {}}));
}

void ClientConnection::input_ack(int stream, std::uint64_t offset) {
  send(ClientMessage::Ack, encode_stream_message({static_cast<Stream>(stream), offset, {}}));
}

void ClientConnection::ended(const json& job) {
  attached_job = 0;
  if (job.at("state") == "ended")
    return reply(
        {{"job", job.at("job")}, {"exit", job.at("exit")}, {"signal", job.at("signal")}, {"reason", job.at("error")}});
  const bool cancelled = job.value("code", "") == "cancelled";
  refuse(cancelled ? "cancelled" : "failed",
         fmt::format("job {}: {}", job.at("job").get<std::int64_t>(), job.value("error", "lost")));
}

void ClientConnection::notice(std::int64_t job, const std::string& text) { item({{"job", job}, {"notice", text}}); }

void ClientConnection::dropped(const std::string& why) {
  attached_job = 0;
  refuse("failed", why);
}

void ClientConnection::receive(Frame&& frame) {
  if (relayed_to >= 0) return server_.relay(*this, frame);
  if (frame.type != static_cast<std::uint16_t>(ClientMessage::Request)) return server_.stream(*this, frame);
  const json request = json::parse(frame.payload, nullptr, false);
  if (!request.is_object() || !request.contains("op") || !request["op"].is_string())
    return refuse("bad-request", "the request is not a JSON object with an 'op'");
  try {
    server_.request(*this, request);
  } catch (const json::exception& error) {
    refuse("bad-request", fmt::format("{}: a field is missing or wrong: {}", request.value("op", ""), error.what()));
  } catch (const std::invalid_argument& error) {
    refuse("bad-request", error.what());
  }
}

ControlServer::ControlServer(Cluster& cluster, OriginJobs& origin, ControlActions actions)
    : cluster_(cluster), origin_(origin), actions_(std::move(actions)) {}

ControlServer::~ControlServer() {
  if (listener_) cluster_.loop().forget(listener_.get());
  if (!path_.empty()) ::unlink(path_.c_str());
}

void ControlServer::listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw std::runtime_error(
        fmt::format("{} is too long for a socket; set DROVER_RUNTIME_DIR to a shorter directory", path));
  std::memcpy(address.sun_path, path.data(), path.size());
  // A droverd that answers there is alive, and this one must not take its place. After the death of an mpirun its ranks
  // live on for a moment, and a new world may already be starting: so it gets some time to go.
  const auto answers = [&] {
    const UniqueFd probe(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
    return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  };
  for (int i = 0; answers(); ++i) {
    if (i == 100) throw std::runtime_error(fmt::format("another droverd serves {}; end it first (drover down)", path));
    ::usleep(100'000);
  }
  ::unlink(path.c_str());
  listener_.reset(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  check(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind", path);
  check(::chmod(path.c_str(), 0600), "chmod", path);
  check(::listen(listener_.get(), 64), "listen", path);
  path_ = path;
  cluster_.loop().watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept(); });
}

void ControlServer::accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  check(::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size), "getsockopt SO_PEERCRED");
  const std::uint64_t id = next_client_++;
  Local& local = clients_[id];
  const auto socket_of = [this, id]() -> FrameSocket* {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : found->second.socket.get();
  };
  local.client = std::make_unique<ClientConnection>(
      *this, ClientConnection::Channel{[socket_of](ClientMessage type, const std::string& payload) {
                                         if (FrameSocket* socket = socket_of())
                                           socket->send(static_cast<std::uint16_t>(type), payload);
                                       },
                                       [socket_of] {
                                         const FrameSocket* socket = socket_of();
                                         return socket == nullptr ? 0 : socket->backlog_bytes();
                                       }});
  local.client->id = id;
  local.socket = std::make_unique<FrameSocket>(
      cluster_.loop(), std::move(fd),
      FrameSocket::Handlers{[client = local.client.get()](Frame&& frame) { client->receive(std::move(frame)); },
                            [this, id](const std::string&) { closed(id); },
                            {}});
  if (peer.uid != ::geteuid() && peer.uid != 0) {
    local.client->refuse("refused",
                         fmt::format("this Drover belongs to uid {}; start your own with drover up", ::geteuid()));
    local.socket->flush_blocking();
    closed(id);
  }
}

void ControlServer::closed(std::uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  if (found->second.client->relayed_to >= 0)
    cluster_.send(found->second.client->relayed_to, Msg::RelayClose, RelayFrame{id, true, 0, {}});
  retired_.push_back(std::move(found->second));
  clients_.erase(found);
  cluster_.loop().after(Nanoseconds::zero(), [this] { retired_.clear(); });
}

void ControlServer::relay(ClientConnection& client, const Frame& frame) {
  cluster_.send(client.relayed_to, Msg::Relay, RelayFrame{client.id, true, frame.type, frame.payload});
}

void ControlServer::handle_relay(int from, Msg type, const RelayFrame& frame) {
  if (!frame.to_server) {  // an answer for a launcher of ours
    const auto found = clients_.find(frame.connection);
    if (found == clients_.end()) return;
    if (type == Msg::Relay && found->second.socket) found->second.socket->send(frame.type, frame.payload);
    return;
  }
  const std::pair key(from, frame.connection);
  if (type == Msg::RelayClose) {
    relayed_.erase(key);
    return;
  }
  auto& client = relayed_[key];
  if (!client) {
    client = std::make_unique<ClientConnection>(
        *this, ClientConnection::Channel{[this, key](ClientMessage message, std::string payload) {
                                           cluster_.send(
                                               key.first, Msg::Relay,
                                               RelayFrame{key.second, false, static_cast<std::uint16_t>(message),
                                                          std::move(payload)});
                                         },
                                         [this, key] { return cluster_.backlog_bytes(key.first); }});
  }
  client->receive({frame.type, frame.payload});
}

void ControlServer::when_room(ClientConnection& client, const std::function<void()>& next) {
  constexpr std::size_t kMostBacklog = std::size_t{1} << 20;
  if (client.backlog_bytes() < kMostBacklog) return next();
  cluster_.loop().after(std::chrono::milliseconds(2), [this, alive = client.alive(), &client, next] {
    if (const auto held = alive.lock(); held && *held) when_room(client, next);
  });
}

void ControlServer::rank_lost(int rank) {
  std::erase_if(relayed_, [&](const auto& entry) { return entry.first.first == rank; });
  for (auto& [id, local] : clients_)
    if (local.client->relayed_to == rank) {
      local.client->refuse("unavailable", fmt::format("{} does not answer any more", cluster_.node_name(rank)));
      local.client->relayed_to = -1;
    }
}

void ControlServer::stream(ClientConnection& client, const Frame& frame) {
  OriginJob* job = origin_.find(client.attached_job);
  if (job == nullptr) return;
  const StreamMessage message = decode_stream_message(frame.payload);
  const auto type = static_cast<ClientMessage>(frame.type);
  if (message.stream == Stream::Pipe) {
    if (job->desk.piper != &client) return;
    if (type == ClientMessage::Data) origin_.input(*job, shepherd::kPipeStream, message.offset, message.bytes);
    if (type == ClientMessage::End) origin_.input_end(*job, shepherd::kPipeStream, message.offset);
    return;
  }
  if (job->spec.terminal) {
    if (type == ClientMessage::Data) origin_.type(*job, &client, message.offset, message.bytes);
    if (type == ClientMessage::Ack) origin_.seen(*job, &client, message.offset);
    return;  // the end of one viewer's input is not the terminal's
  }
  switch (type) {
    case ClientMessage::Data:
      return origin_.input(*job, 0, message.offset, message.bytes);
    case ClientMessage::End:
      return origin_.input_end(*job, 0, message.offset);
    case ClientMessage::Ack:
      return origin_.output_ack(*job, static_cast<int>(message.stream), message.offset);
    default:
      return;
  }
}

void ControlServer::request(ClientConnection& client, const json& request) {
  static const std::map<std::string, Handler> handlers = {
      {"status", &ControlServer::status},   {"submit", &ControlServer::submit},
      {"run", &ControlServer::submit},      {"attach", &ControlServer::attach},
      {"ps", &ControlServer::ps},           {"past", &ControlServer::past},
      {"nodes", &ControlServer::nodes},     {"logs", &ControlServer::logs},
      {"wait", &ControlServer::wait},       {"kill", &ControlServer::kill},
      {"signal", &ControlServer::signal},   {"migrate", &ControlServer::migrate},
      {"events", &ControlServer::events},   {"down", &ControlServer::down},
      {"ping", &ControlServer::ping},       {"drain", &ControlServer::drain},
      {"hold", &ControlServer::hold},       {"checkpoint", &ControlServer::checkpoint},
      {"restore", &ControlServer::restore}, {"doctor", &ControlServer::doctor},
      {"window", &ControlServer::window},   {"leave", &ControlServer::leave}};
  const std::string op = request.at("op");
  const std::string version = request.value("version", DROVER_VERSION);
  if (version != DROVER_VERSION)
    return client.refuse("version", fmt::format("this droverd is version {}, the launcher {}; use one version of both",
                                                DROVER_VERSION, version));
  const auto found = handlers.find(op);
  if (found == handlers.end())
    return client.refuse("bad-request", fmt::format("'{}' is no operation of droverd {}", op, DROVER_VERSION));
  (this->*found->second)(client, request);
}

}  // namespace drover
