#pragma once

#include "ckpt/freeze/tree_impl.h"

namespace drover {

// A thread that can run stops within microseconds; one in uninterruptible sleep (a dead NFS server)
// never.
inline constexpr std::int64_t kStopDeadlineNs = 3'000'000'000;

// Stops all threads of `process`, which are found here; those among `lingering` are taken from there. If it has ended
// there are none. A thread that stays in vfork(2) is left as it is, not stopped. If the main thread alone
// has ended, the first is another one. After a refusal those that have stopped are among its threads, too, with the
// registers that they have. `tree_runs`: nothing of the tree has been stopped yet.
std::optional<Refusal> stop_process(FrozenProcess& process, LingeringThreads& lingering, bool tree_runs);
// Stops one that was left so, unless it is in its vfork(2) still when so much time has passed.
std::optional<Refusal> stop_thread(FrozenProcess&, FrozenThread&, LingeringThreads&, std::int64_t patience_ns);

}  // namespace drover
