#include "ckpt/dump/connections.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "ckpt/dump/socket_file.h"
#include "ckpt/dump/sockets.h"
#include "ckpt/image/udp_routes.h"
#include "ckpt/sys/socket_address.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

namespace drover {

namespace {

class Connector {
 public:
  Connector(const SocketPlan& plan, std::span<const pid_t> processes, const std::vector<std::string>& names,
            const DumpOptions& options, FilePlan& files)
      : plan_(plan), processes_(processes), names_(names), options_(options), files_(files), finder_(processes) {}

  std::optional<Refusal> run() {
    for (const auto& [inode, socket] : plan_.sockets) {
      if (auto refusal = add_pending(socket)) return refusal;
    }
    for (const auto& [inode, socket] : plan_.sockets) {
      if (auto refusal = find_peer(inode, socket)) return refusal;
    }
    for (const auto& [inode, socket] : plan_.sockets) tell_accepted(state(socket.index));
    for (const auto& [inode, socket] : plan_.sockets) {
      if (auto refusal = find_name(socket)) return refusal;
    }
    if (auto refusal = find_ring()) return refusal;
    return find_foreign_datagrams();
  }

 private:
  SocketState& state(std::uint32_t index) { return *files_.state.files[index].socket; }
  SocketState* peer_of(const SocketState& socket) {
    return socket.peer < 0 ? nullptr : &state(static_cast<std::uint32_t>(socket.peer));
  }
  Refusal refuse(const char* what, std::uint32_t index) const {
    return Refusal{fmt::format("{}, {}", what, names_[index])};
  }

  static Refusal passing(Refusal refusal) {
    refusal.passing = true;
    return refusal;
  }

  // Nothing tells who called connect() until the connection is accepted: whoever holds it, as a rule.
  SocketUser holder_of(std::uint32_t index) const {
    const pid_t pid = files_.places[index].process;
    const bool in_tree = std::find(processes_.begin(), processes_.end(), pid) != processes_.end();
    const pid_t who = in_tree ? pid : processes_.front();
    const TaskStatus status = parse_task_status(try_read_text(proc_path(who, "status")).value_or(""));
    return {who, status.uid[1], status.gid[1]};
  }

  // While the tree runs somebody is about to accept it, as a rule. What a closed one had sent can't be seen, nor that
  // it sent nothing.
  std::optional<Refusal> find_pending_obstacle(std::uint32_t inode, const PlannedSocket* client,
                                               std::uint32_t listener) const {
    if (inode != 0 && client == nullptr && !plan_.unknown_rights)
      return refuse("has a connection from outside that waits to be accepted", listener);
    if (!plan_.frozen) return std::nullopt;
    if (inode == 0) return passing(refuse("has a connection that was closed before it was accepted", listener));
    if (client == nullptr || client->info.unread_by_peer == 0) return std::nullopt;
    return passing(refuse("has a connection that sent something before it was accepted", listener));
  }

  std::optional<Refusal> add_pending(const PlannedSocket& listener) {
    if (!listener.info.listening) return std::nullopt;
    listening_.insert(state(listener.index).name);
    for (const std::uint32_t inode : listener.info.pending) {
      const auto client = plan_.sockets.find(inode);
      const bool known = inode != 0 && client != plan_.sockets.end();
      if (auto refusal = find_pending_obstacle(inode, known ? &client->second : nullptr, listener.index))
        return refusal;
      if (!known) continue;
      waiting_.insert(inode);
      const std::uint32_t index = client->second.index;
      state(listener.index).pending.push_back({index, holder_of(index)});
    }
    return std::nullopt;
  }

  std::optional<Refusal> find_peer(ino_t inode, const PlannedSocket& socket) {
    SocketState& own = state(socket.index);
    if (!own.connected || waiting_.count(inode) != 0) return std::nullopt;
    constexpr std::uint32_t kBothWays = 3;  // what unix_release_sock() does to the other end
    if (socket.info.peer == 0 && own.type != SOCK_DGRAM && own.shut_down != kBothWays)
      return plan_.unknown_rights ? std::nullopt
                                  : std::optional(refuse("waits to be accepted outside of the tree", socket.index));
    if (socket.info.peer == 0) return std::nullopt;
    const auto peer = plan_.sockets.find(socket.info.peer);
    const bool found = peer != plan_.sockets.end();
    if (found && (own.type == SOCK_DGRAM || peer->second.info.peer == inode)) {
      own.peer = static_cast<std::int32_t>(peer->second.index);
      if (own.reset) return refuse("has an error that it has not been told of in a socket", socket.index);
      // Without a name nobody could connect to it again; socketpair() makes both ends peers of each other.
      const bool mutual = peer->second.info.peer == inode;
      if (mutual || !state(peer->second.index).name.empty()) return std::nullopt;
      return refuse("is connected to a unix socket without a name that has left it", socket.index);
    }
    if (!found && plan_.unknown_rights) return std::nullopt;
    return refuse("holds a unix socket that leads outside", socket.index);
  }

  // Of two ends the one with its listener's name was accepted. Where nobody listens any more either may be taken for
  // it, but an end whose name the kernel has chosen is a client.
  void tell_accepted(SocketState& own) {
    if (!own.connected || own.type == SOCK_DGRAM || own.name.empty()) return;
    const SocketState* const peer = peer_of(own);
    const SocketAddress& other = peer != nullptr ? peer->name : own.peer_name;
    if (peer != nullptr && peer->accepted) return;
    const bool waits = peer == nullptr && own.shut_down != 3;
    const bool other_listened = listening_.count(other) != 0;
    own.accepted =
        !waits && (listening_.count(own.name) != 0 || other.empty() || (!other_listened && !is_autobound(own.name)));
  }

  std::optional<Refusal> find_name(const PlannedSocket& socket) {
    SocketState& own = state(socket.index);
    if (own.name.empty() || own.accepted) return std::nullopt;
    if (is_abstract(own.name)) {
      if (options_.network_names) return std::nullopt;
      return Refusal{fmt::format("holds the abstract name {}, {}", show_address(own.name), names_[socket.index])};
    }
    if (socket.info.file_inode == 0) return std::nullopt;
    const FilePlan::Place& place = files_.places[socket.index];
    auto refusal = finder_.find(borrow(place.process, place.fd), own.name, socket.info.file_inode, own.file);
    if (refusal) refusal->reason += ", " + names_[socket.index];
    return refusal;
  }

  // Whoever is connected hears only its peer, so each must connect before the one that it connects to does so itself.
  std::optional<Refusal> find_ring() {
    for (const auto& [inode, socket] : plan_.sockets) {
      if (state(socket.index).type != SOCK_DGRAM) continue;
      std::set<std::int32_t> seen;
      for (const SocketState* at = &state(socket.index); at->peer >= 0; at = peer_of(*at)) {
        if (seen.insert(at->peer).second) continue;
        const SocketState* const in_ring = peer_of(*at);
        if (peer_of(*peer_of(*in_ring)) != in_ring)
          return refuse("holds unix sockets connected in a ring", socket.index);
        break;
      }
    }
    return std::nullopt;
  }

  std::optional<Refusal> find_foreign_datagrams() const {
    for (std::size_t i = 0; i < files_.state.files.size(); ++i) {
      const auto& socket = files_.state.files[i].socket;
      if (!socket || socket->domain == AF_UNIX) continue;
      for (const SocketMessage& message : socket->queue) {
        if (find_udp_route(files_.state, i, message)) continue;
        return Refusal{fmt::format("has an unread datagram from {}, which can't be sent again, {}",
                                   show_address(message.from), names_[i])};
      }
    }
    return std::nullopt;
  }

  const SocketPlan& plan_;
  std::span<const pid_t> processes_;
  const std::vector<std::string>& names_;
  const DumpOptions& options_;
  FilePlan& files_;
  SocketFileFinder finder_;
  std::set<SocketAddress> listening_;  // names
  std::set<ino_t> waiting_;            // to be accepted
};

}  // namespace

std::optional<Refusal> connect_sockets(const SocketPlan& plan, std::span<const pid_t> processes,
                                       const std::vector<std::string>& names, const DumpOptions& options,
                                       FilePlan& files) {
  return Connector(plan, processes, names, options, files).run();
}

}  // namespace drover
