// Trees that `drover-ckpt restore` has made in namespaces of their own: who dumps them again must be in those, too.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>

namespace drover {

struct Inside {
  pid_t init = 0;  // the `drover-ckpt restore` that is PID 1 there, in our PID namespace
  pid_t pid = 0;   // of the tree's root, in that namespace
};

// Empty if the process is in our own namespaces, or in somebody else's.
std::optional<Inside> find_inside(pid_t pid);

// Runs `work` in a child process there; false if it did not call `done` before it ended. The namespaces end with
// the tree, and the child with them: whatever has to be kept must be so before.
bool run_inside(const Inside&, const std::function<void(const std::function<void()>& done)>& work);

}  // namespace drover
