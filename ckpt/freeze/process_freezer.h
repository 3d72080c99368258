#pragma once

#include "ckpt/freeze/tree_impl.h"

namespace drover {

// A thread that can run stops within microseconds; one in uninterruptible sleep (a dead NFS server, a vfork parent)
// never.
inline constexpr std::int64_t kStopDeadlineNs = 3'000'000'000;

// Stops all threads of `process`, which are found here; those among `lingering` are taken from there. If it has ended
// there are none. After a refusal those that have stopped are among its threads, too, with the registers that they
// have. `tree_runs`: nothing of the tree has been stopped yet.
std::optional<Refusal> stop_process(FrozenProcess& process, LingeringThreads& lingering, bool tree_runs);

}  // namespace drover
