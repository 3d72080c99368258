// What lay in the queues of unix sockets is sent again: through the other end where there is one, else by somebody with
// the name of who had sent it.
#include <sys/socket.h>

#include "ckpt/image/error.h"
#include "ckpt/restore/unix_sockets.h"

namespace drover {

// Of a datagram socket that connects to a peer who connects to it: how many messages are from others, or before those.
std::size_t UnixSockets::before_peer(std::size_t index) const {
  const SocketState& own = state(index);
  std::size_t count = own.queue.size();
  if (own.type != SOCK_DGRAM || !mutual(index)) return count;
  const SocketAddress& peer = state(static_cast<std::size_t>(own.peer)).name;
  while (count > 0 && own.queue[count - 1].from == peer) --count;
  return count;
}

// What is on its way with a message is filled before, where that is possible: the kernel counts how deep sockets lie
// within sockets when they are sent (before Linux 6.10, at most 4).
void UnixSockets::fill(std::size_t index, int depth) {
  constexpr int kDeepest = 64;
  if (!filled_.insert(index).second) return;
  const SocketState& own = state(index);
  if (own.queue.empty()) return;
  for (const SocketMessage& message : own.queue) {
    for (const std::uint32_t file : message.descriptors) {
      const auto& socket = files_.files[file].socket;
      if (depth < kDeepest && socket && socket->domain == AF_UNIX) fill(file, depth + 1);
    }
  }
  const bool connected = own.type != SOCK_DGRAM || (own.connected && made_as_pair(index));
  fill_part(index, 0, connected ? own.queue.size() : before_peer(index), connected);
}

UnixSockets::Sender UnixSockets::sender_to(std::size_t index, const SocketMessage& message, bool connected) {
  const SocketState& own = state(index);
  if (connected && own.peer >= 0)
    return {descriptions_[static_cast<std::size_t>(own.peer)].get(), made_as_pair(index) || own.type != SOCK_DGRAM};
  if (connected) return {closed_.at(index).get(), true};
  if (!message.from.empty()) {
    for (const auto& [other, name] : bound_) {
      if (name->address == message.from && state(other).type == SOCK_DGRAM) return {descriptions_[other].get(), false};
    }
  }
  UniqueFd& gone = gone_[message.from];
  if (!gone) {
    gone = make_socket(own);
    if (!message.from.empty()) names_.bind(gone.get(), message.from, std::nullopt);
  }
  return {gone.get(), false};
}

void UnixSockets::fill_part(std::size_t index, std::size_t from, std::size_t to, bool connected) {
  const SocketState& own = state(index);
  for (std::size_t i = from; i < to; ++i) {
    const SocketMessage& message = own.queue[i];
    const Sender sender = sender_to(index, message, connected);
    std::vector<int> descriptors;
    for (const std::uint32_t file : message.descriptors) descriptors.push_back(descriptions_[file].get());
    const auto bound = bound_.find(index);
    if (!sender.connected && bound == bound_.end())
      throw ImageError("damaged image: a message to a socket without a name");
    make_room(sender.fd);
    Actor actor;
    if (!sender.connected) actor = bound->second->as({});
    if (message.sender) actor.user = *message.sender;
    send_message(sender.fd, message, descriptors, sender.connected ? SocketAddress() : own.name, actor);
  }
}

}  // namespace drover
