// Which processes and threads there are, from /proc. All of it may be out of date when it returns.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

namespace drover {

// From so many threads of a program on, another processor is worth waking for what has to be done with each of them.
inline constexpr std::size_t kManyThreads = 16;

// A thread of a process that goes on without its main thread, which is a zombie until the others have ended, too. 0: it
// is not so.
pid_t without_main_thread(pid_t process);

// The kernel shows nothing of such a process under its own id (memory, files, where it works). As long as this lives,
// proc_path() and task_of() lead to `tid` of it instead. Of several for one process the last one counts.
class SeenThrough {
 public:
  SeenThrough(pid_t process, pid_t tid);
  SeenThrough(const SeenThrough&) = delete;
  ~SeenThrough();

 private:
  pid_t process_, tid_;
};
// Whom to ask for what belongs to a process: as a rule itself.
pid_t task_of(pid_t process);

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
