// Contexts of asynchronous I/O of a frozen tree.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "ckpt/freeze/tree_impl.h"
#include "ckpt/image/state/aio.h"
#include "ckpt/image/state/process.h"
#include "ckpt/sys/error.h"

namespace drover {

using AioContexts = std::map<pid_t, std::vector<AioContext>>;  // by the process whose memory they are in

// Waits until nothing is under way in any of them, and says what they are like then. To the program they are what they
// were. Before anything is measured that a request may change: files, counters, memory. `sharing`: in the order of the
// processes.
std::optional<Refusal> settle_aio(FrozenTree::Impl&, std::span<const SharedState> sharing, AioContexts&);

}  // namespace drover
