// A process tree brought to a standstill: every thread of every process in ptrace-stop. As long as the object lives the
// tree can be looked at and have system calls run in it; then it goes on as if never touched, or is ended.
//
// The hard part is "as if never touched": interrupted system calls must go on by themselves, or be undone where the
// kernel turned them into EINTR (docs/checkpoint.md has the table).
#pragma once

#include <sys/types.h>

#include <memory>
#include <variant>

#include "ckpt/freeze/still_waiting.h"
#include "ckpt/sys/error.h"

namespace drover {

class FrozenTree {
 public:
  // Stops `root` and all its descendants; `reaper`: see list_tree() in sys/tasks.h. A Refusal if the caller may not
  // trace one of them, or a thread can't be stopped; then everything stopped so far goes on. Throws SystemError on
  // failures nobody expects. `still`: what the tree's last release gave back; without it some waits may end late, and
  // lingering threads can't be stopped. It is taken, but comes back with a Refusal.
  static std::variant<FrozenTree, Refusal> freeze(pid_t root, StillWaiting* still = nullptr, pid_t reaper = 0);

  FrozenTree(FrozenTree&&) noexcept;
  FrozenTree& operator=(FrozenTree&&) noexcept;
  ~FrozenTree();  // thaws what was neither thawed nor killed

  pid_t root() const;

  // From now on the tree dies with the calling process (PTRACE_O_EXITKILL on every thread) instead of being resumed by
  // the kernel. The commit protocol needs this from READY on: a source whose worker died must not come alive again.
  void die_with_tracer();

  // Lets the tree go on, its interrupted system calls too. When it returns every thread runs. Threads in a timed call
  // that the kernel turned into EINTR stay traced until that call returns: they are in what it gives back.
  [[nodiscard]] StillWaiting thaw();

  // Ends the whole tree with SIGKILL and reaps what the caller is the tracer of. The root's parent, if that is another
  // process, has to reap it still.
  void kill();

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit FrozenTree(std::unique_ptr<Impl>);
  std::unique_ptr<Impl> impl_;
};

}  // namespace drover
