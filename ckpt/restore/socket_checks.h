// Can this node have the names and ports of a tree's sockets? Asked before anything is made.
#pragma once

#include <optional>

#include "ckpt/image/state/files.h"
#include "ckpt/sys/error.h"

namespace drover {

// `live`: the frozen source may still have the files of its names.
std::optional<Refusal> find_socket_obstacle(const OpenFilesState&, bool live);

}  // namespace drover
