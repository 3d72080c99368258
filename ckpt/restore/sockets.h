// Unix sockets, made anew.
#pragma once

#include <sys/types.h>

#include <utility>

#include "ckpt/image/state/files.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// All throw SystemError; fill_socket() also ImageError.
UniqueFd make_socket(int type);
// Both ends name `creator` as their peer's process (SO_PEERCRED); 0: this process.
std::pair<UniqueFd, UniqueFd> make_socket_pair(int type, pid_t creator);
// Sends what lay in the queue of the other end.
void fill_socket(int through, const SocketState& other_end);
// Options and flags, and which directions have been shut down.
void set_up_socket(int socket, const OpenFileState&);

}  // namespace drover
