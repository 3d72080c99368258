// Sockets that are whole inside a tree, or lead nowhere yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace drover {

// Who did something to a socket that the other end can ask for (unix(7), SO_PEERCRED and SCM_CREDENTIALS).
struct SocketUser {
  std::int32_t pid = 0;
  std::uint32_t uid = 0, gid = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& pid& uid& gid;
  }
};

// A sockaddr as the kernel tells it, family included; empty: none.
using SocketAddress = std::vector<std::byte>;

struct SocketMessage {
  std::vector<std::byte> bytes;
  SocketAddress from;                      // of a datagram
  std::vector<std::uint32_t> descriptors;  // on their way with it: indices into OpenFilesState::files
  std::optional<SocketUser> sender;        // where the kernel remembers one
  template <class A>
  void serialize(A& a, unsigned) {
    a& bytes& from& descriptors& sender;
  }
};

// A connection that waits to be accepted. Nothing has been sent through it.
struct PendingConnection {
  std::uint32_t client = 0;  // index into OpenFilesState::files
  SocketUser user;           // who called connect()
  template <class A>
  void serialize(A& a, unsigned) {
    a& client& user;
  }
};

// The file that a unix socket's name leads to.
struct SocketFile {
  std::string path;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  std::uint64_t inode = 0;  // to know it by; device numbers differ between nodes
  template <class A>
  void serialize(A& a, unsigned) {
    a& path& mode& uid& gid& inode;
  }
};

struct SocketOption {  // of those in ckpt/sys/socket_options.h
  std::int32_t level = 0, name = 0;
  std::vector<std::byte> value;
  template <class A>
  void serialize(A& a, unsigned) {
    a& level& name& value;
  }
};

struct SocketState {
  std::int32_t domain = 1, type = 1, protocol = 0;  // AF_*, SOCK_*
  SocketAddress name;
  bool accepted = false;           // connected, and `name` is that of whoever listened
  std::optional<SocketFile> file;  // of a path name that leads to it
  bool listening = false;
  std::uint32_t backlog = 0;
  std::vector<PendingConnection> pending;  // in the order in which they will be accepted
  bool connected = false;                  // it has or had a peer
  std::int32_t peer = -1;  // index into OpenFilesState::files; -1: closed, or not accepted, if connected
  SocketAddress peer_name;
  bool reset = false;           // the peer closed with something unread, and this end has not been told
  std::uint32_t shut_down = 0;  // 1: receiving, 2: sending (RCV_SHUTDOWN and SEND_SHUTDOWN of the kernel)
  SocketUser peer_user;         // SO_PEERCRED: of one that listens, who called listen()
  std::uint32_t send_bytes = 0, receive_bytes = 0;  // SO_SNDBUF and SO_RCVBUF, as they are told
  std::int32_t low_water = 1, peek_offset = -1;
  std::int64_t send_timeout_us = 0, receive_timeout_us = 0;
  std::vector<SocketOption> options;  // that differ from a new socket's
  std::vector<SocketMessage> queue;   // messages not yet received; pieces of a stream
  template <class A>
  void serialize(A& a, unsigned) {
    a& domain& type& protocol& name& accepted& file& listening& backlog& pending& connected& peer& peer_name& reset&
        shut_down& peer_user& send_bytes& receive_bytes& low_water& peek_offset& send_timeout_us& receive_timeout_us&
            options& queue;
  }
};

}  // namespace drover
