// UDP sockets and TCP sockets without a connection, made anew.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/image/state/files.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// Puts all of them among the descriptions, which are in the order of OpenFilesState::files. Throws SystemError.
void make_inet_sockets(const OpenFilesState&, std::vector<UniqueFd>& descriptions);

// Could this one be bound here now? Tries it.
std::optional<Refusal> find_bind_obstacle(const SocketState&);

}  // namespace drover
