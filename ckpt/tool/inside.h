// Trees that `drover-ckpt restore` has made in namespaces of their own: who dumps them again must be in those, too.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>

namespace drover {

// Is it a `drover-ckpt`, the same as we?
bool runs_our_program(pid_t);

// Returns when no `drover-ckpt` traces this thread any more, be it one that still makes the tree or one that sees to
// calls of the last dump (beside.h): only it knows how much of their time is left. False if another program traces it.
bool wait_for_our_tracer(pid_t thread);

struct Inside {
  pid_t outside = 0;     // the tree's root in our PID namespace
  pid_t init = 0;        // and PID 1 of its own
  pid_t pid = 0;         // and in that one, where a `drover-ckpt restore` is PID 1
  bool own_ipc = false;  // it has an IPC namespace, too
};

// Empty if the process is in our own namespaces, or in somebody else's.
std::optional<Inside> find_inside(pid_t pid);

// Goes there, and runs `work` in a child process, which is all that is in the PID namespace then. The namespaces end
// with the tree, and the child with them.
void run_inside(const Inside&, const std::function<void()>& work);

}  // namespace drover
