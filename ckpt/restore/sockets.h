// Single sockets, made anew.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <utility>

#include "ckpt/image/state/files.h"
#include "ckpt/restore/run_as.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// All throw SystemError.
UniqueFd make_socket(const SocketState&);
// Both ends name `creator` as their peer's process (SO_PEERCRED); process id 0: this process.
std::pair<UniqueFd, UniqueFd> make_socket_pair(int type, const SocketUser& creator);
// bind(2), connect(2). Errno values as results.
int bind_socket(int socket, const SocketAddress&);
int connect_socket(int socket, const SocketAddress&);
// As large as the kernel lets it be, while queues are filled.
void make_room(int socket);
// Sends one message. `descriptors`: those of the message, as ours; `to`: empty for the peer. Also ImageError.
void send_message(int through, const SocketMessage&, const std::vector<int>& descriptors, const SocketAddress& to,
                  const Actor&);
// What must be set before bind(2).
void set_options(int socket, const SocketState&);
// How much it may hold, as it was.
void set_buffers(int socket, const SocketState&);
// Everything else that is the socket's own: sizes, timeouts, flags, and which directions have been shut down.
void set_up_socket(int socket, const OpenFileState&);

}  // namespace drover
