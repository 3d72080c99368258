#include "ckpt/restore/unix_sockets.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "ckpt/image/error.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/socket_address.h"

namespace drover {

UnixSockets::UnixSockets(const OpenFilesState& files, std::vector<UniqueFd>& descriptions, SocketNames& names)
    : files_(files), descriptions_(descriptions), names_(names) {
  for (std::size_t i = 0; i < files.files.size(); ++i) {
    const auto& socket = files.files[i].socket;
    if (!socket || socket->domain != AF_UNIX) continue;
    ours_.push_back(i);
    for (const PendingConnection& pending : socket->pending) waiting_.insert(pending.client);
  }
}

void UnixSockets::make() {
  for (const std::size_t i : ours_) {
    if (descriptions_[i]) continue;  // the second of a pair
    const SocketState& socket = state(i);
    if (!socket.connected || waiting_.count(i) != 0)
      descriptions_[i] = make_socket(socket);
    else if (socket.type != SOCK_DGRAM)
      make_connection(i);
    else if (made_as_pair(i))
      make_pair(i);
    else
      descriptions_[i] = make_socket(socket);
  }
  listeners_.clear();  // an abstract name may be somebody's now
  bind_all();
  for (const std::size_t i : ours_) fill(i, 0);
  connect_datagrams();
  for (const std::size_t i : ours_) add_pending(i);
  close_peers();
  for (const std::size_t i : ours_) {
    set_options(descriptions_[i].get(), state(i));
    set_up_socket(descriptions_[i].get(), files_.files[i]);
  }
}

bool UnixSockets::mutual(std::size_t index) const {
  const std::int32_t peer = state(index).peer;
  return peer >= 0 && state(static_cast<std::size_t>(peer)).peer == static_cast<std::int32_t>(index);
}

// socketpair() tells who called it, connect() of datagram sockets does not.
bool UnixSockets::made_as_pair(std::size_t index) const {
  const SocketState& own = state(index);
  if (own.peer < 0) return own.peer_name.empty();
  const auto peer = static_cast<std::size_t>(own.peer);
  return mutual(index) && peer != index && (own.peer_user.pid > 0 || own.name.empty() || state(peer).name.empty());
}

void UnixSockets::make_pair(std::size_t index) {
  const SocketState& own = state(index);
  auto [one, other] = make_socket_pair(own.type, own.peer_user);
  descriptions_[index] = std::move(one);
  if (own.peer >= 0)
    descriptions_[static_cast<std::size_t>(own.peer)] = std::move(other);
  else
    closed_[index] = std::move(other);
}

// One for each name and process that has called listen(), since a client remembers that (SO_PEERCRED).
const UnixSockets::Listener& UnixSockets::listener(const SocketAddress& name, int type, const SocketUser& user) {
  Listener& one = listeners_[{name, user.pid}];
  if (one.fd) return one;
  for (auto& [key, other] : listeners_) {
    if (key.first == name) other = {};
  }
  one.fd.reset(check(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0), "socket"));
  one.name = &names_.bind(one.fd.get(), name, std::nullopt);
  const int error = run_as({user, {}, {}}, [&] { return ::listen(one.fd.get(), SOMAXCONN) == 0 ? 0 : errno; });
  if (error != 0) throw SystemError("listen", show_address(name), error);
  return one;
}

void UnixSockets::make_connection(std::size_t index) {
  const SocketState& own = state(index);
  const SocketState* const peer = own.peer >= 0 ? &state(static_cast<std::size_t>(own.peer)) : nullptr;
  const SocketAddress& peer_name = peer != nullptr ? peer->name : own.peer_name;
  if (own.name.empty() && peer_name.empty()) return make_pair(index);
  const bool serves = own.accepted || peer_name.empty();
  const SocketState* const client = serves ? peer : &own;
  const SocketState* const server = serves ? &own : peer;
  const SocketUser& listened = client != nullptr ? client->peer_user : server->peer_user;
  const SocketUser& connected = server != nullptr ? server->peer_user : client->peer_user;
  const SocketAddress& name = serves ? own.name : peer_name;
  const Listener& at = listener(name, own.type, listened);
  UniqueFd one = make_socket(own);
  const int error = run_as(at.name->as(connected), [&] { return connect_socket(one.get(), name); });
  if (error != 0) throw SystemError("connect", show_address(name), error);
  UniqueFd other(check(::accept4(at.fd.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept", show_address(name)));
  if (serves) std::swap(one, other);
  descriptions_[index] = std::move(one);
  if (serves) named_.insert(index);
  if (peer == nullptr) {
    if (serves && !own.peer_name.empty()) names_.bind(other.get(), own.peer_name, std::nullopt);
    closed_[index] = std::move(other);
  } else {
    if (!serves) named_.insert(static_cast<std::size_t>(own.peer));
    descriptions_[static_cast<std::size_t>(own.peer)] = std::move(other);
  }
}

void UnixSockets::listen_as(std::size_t index, std::size_t backlog) {
  const auto listen = [&] { return ::listen(descriptions_[index].get(), static_cast<int>(backlog)) == 0 ? 0 : errno; };
  if (const int error = run_as({state(index).peer_user, {}, {}}, listen); error != 0)
    throw SystemError("listen", show_address(state(index).name), error);
}

void UnixSockets::bind_all() {
  for (const std::size_t i : ours_) {
    const SocketState& own = state(i);
    if (own.name.empty() || named_.count(i) != 0) continue;
    bound_[i] = &names_.bind(descriptions_[i].get(), own.name, own.file);
    if (own.listening) listen_as(i, std::max<std::size_t>(own.backlog, own.pending.size()));
  }
}

void UnixSockets::connect_datagram(std::size_t index) {
  const SocketState& own = state(index);
  const SocketAddress& to = own.peer >= 0 ? state(static_cast<std::size_t>(own.peer)).name : own.peer_name;
  const BoundName* at = own.peer >= 0 ? bound_.at(static_cast<std::size_t>(own.peer)) : nullptr;
  if (own.peer < 0) {
    closed_[index] = make_socket(own);
    at = &names_.bind(closed_[index].get(), to, std::nullopt);
  }
  const int error = run_as(at->as({}), [&] { return connect_socket(descriptions_[index].get(), to); });
  if (error != 0) throw SystemError("connect", show_address(to), error);
  if (own.peer >= 0) fill_part(index, before_peer(index), own.queue.size(), true);
}

// Whoever is connected hears only its peer, so nobody else must have to connect to it any more.
void UnixSockets::connect_datagrams() {
  std::set<std::size_t> left;
  for (const std::size_t i : ours_) {
    const SocketState& own = state(i);
    if (own.type == SOCK_DGRAM && own.connected && !made_as_pair(i)) left.insert(i);
  }
  while (!left.empty()) {
    std::set<std::size_t> wanted;  // by others than their peers
    for (const std::size_t i : left) {
      if (state(i).peer >= 0 && !mutual(i)) wanted.insert(static_cast<std::size_t>(state(i).peer));
    }
    const std::size_t before = left.size();
    for (auto i = left.begin(); i != left.end();) {
      if (wanted.count(*i) != 0) {
        ++i;
        continue;
      }
      connect_datagram(*i);
      i = left.erase(i);
    }
    if (left.size() == before) throw ImageError("damaged image: sockets connected in a ring");
  }
}

void UnixSockets::add_pending(std::size_t index) {
  const SocketState& own = state(index);
  for (const PendingConnection& pending : own.pending) {
    const int client = descriptions_[pending.client].get();
    const int error = run_as(bound_.at(index)->as(pending.user), [&] { return connect_socket(client, own.name); });
    if (error != 0) throw SystemError("connect", show_address(own.name), error);
  }
  if (own.pending.size() > own.backlog) listen_as(index, own.backlog);
}

// A peer that was closed closes when what it had sent is there, and with something unread if the other end has still to
// be told of that.
void UnixSockets::close_peers() {
  for (const auto& [index, peer] : closed_) {
    const char unread = 0;
    if (state(index).reset && state(index).type != SOCK_DGRAM)
      check(::send(descriptions_[index].get(), &unread, 1, MSG_NOSIGNAL | MSG_DONTWAIT), "send");
  }
  closed_.clear();
}

}  // namespace drover
