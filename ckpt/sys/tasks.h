// Which processes and threads there are, from /proc. All of it may be out of date when it returns.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string_view>
#include <vector>

namespace drover {

// The main thread first, whose id is not the lowest where ids have begun anew. Throws SystemError if the process is
// gone.
std::vector<pid_t> list_threads(pid_t pid);
// Children of every thread of `pid`. Empty if the process is gone.
std::vector<pid_t> list_children(pid_t pid);
// The ids in the text of one thread's `children`.
std::vector<pid_t> parse_children(std::string_view text);
// `root` and all its descendants, parents before children; with `reaper` (the root's parent, which takes in orphans and
// lives for this tree alone) the other children of that too, but not the caller and not those that run its program.
// `children_of` is asked for the children of all but the reaper.
std::vector<pid_t> list_tree(pid_t root, pid_t reaper = 0,
                             const std::function<std::vector<pid_t>(pid_t)>& children_of = list_children);

}  // namespace drover
