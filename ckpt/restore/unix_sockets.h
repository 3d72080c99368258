// All unix sockets of a tree, made anew together. Each step needs the ones before:
//   connections (through listeners that live only for this), names and listening, what lies in queues, to whom datagram
//   sockets are connected (who is connected hears nobody else), who waits to be accepted, and what is the socket's own.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ckpt/image/state/files.h"
#include "ckpt/restore/socket_names.h"
#include "ckpt/restore/sockets.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

class UnixSockets {
 public:
  // `descriptions`: of all files, in the order of OpenFilesState::files; ours are put among them.
  UnixSockets(const OpenFilesState& files, std::vector<UniqueFd>& descriptions, SocketNames& names);
  // Throws SystemError, ImageError.
  void make();

 private:
  struct Listener {
    UniqueFd fd;
    const BoundName* name = nullptr;
  };
  struct Sender {
    int fd;
    bool connected;  // the other end of the socket that it sends to
  };

  const SocketState& state(std::size_t index) const { return *files_.files[index].socket; }
  bool mutual(std::size_t index) const;
  bool made_as_pair(std::size_t index) const;
  void make_pair(std::size_t index);
  void make_connection(std::size_t index);
  UniqueFd bound_peer(std::size_t index, const SocketAddress& name);
  const Listener& listener(const SocketAddress& name, int type, const SocketUser&);
  void bind_all();
  void listen_as(std::size_t index, std::size_t backlog);
  void fill(std::size_t index, int depth);
  void fill_part(std::size_t index, std::size_t from, std::size_t to, bool connected);
  std::size_t before_peer(std::size_t index) const;
  Sender sender_to(std::size_t index, const SocketMessage&, bool connected);
  void connect_datagrams();
  void connect_datagram(std::size_t index);
  void add_pending(std::size_t index);
  void close_peers();

  const OpenFilesState& files_;
  std::vector<UniqueFd>& descriptions_;
  SocketNames& names_;
  std::vector<std::size_t> ours_;
  std::set<std::size_t> waiting_;           // to be accepted
  std::map<std::size_t, UniqueFd> closed_;  // peers that are closed, by whose they are
  std::map<std::size_t, const BoundName*> bound_;
  std::map<std::pair<SocketAddress, std::int32_t>, Listener> listeners_;  // by name and process
  std::map<SocketAddress, UniqueFd> gone_;                                // senders that are closed
  std::set<std::size_t> filled_, named_;
};

}  // namespace drover
