// Which processes and threads there are, from /proc. All of it may be out of date when it returns.
#pragma once

#include <sys/types.h>

#include <vector>

namespace drover {

// Throws SystemError if the process is gone.
std::vector<pid_t> list_threads(pid_t pid);
// Children of every thread of `pid`. Empty if the process is gone.
std::vector<pid_t> list_children(pid_t pid);
// `root` and all its descendants, parents before children; with `reaper` (the root's parent, which takes in orphans and
// lives for this tree alone) the other children of that too, but not the caller and not those that run its program.
std::vector<pid_t> list_tree(pid_t root, pid_t reaper = 0);

}  // namespace drover
