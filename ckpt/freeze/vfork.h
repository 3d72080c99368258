// Parents in vfork(2). They sleep where only SIGKILL wakes them (wait_for_vfork_done()), and show no registers, until
// the child calls execve(2) or ends.
//
// So the wait is exchanged for one of our own. The child, which is stopped, makes a thread, its stand-in, and its main
// thread ends, which is the end of the vfork (mm_release()): the parent stops on its way out of the kernel, before its
// next instruction. From there it is sent into a batch of ours (runner.S) that waits for a futex. The stand-in goes on
// with the child's registers. It is made with CLONE_CHILD_CLEARTID, so the kernel clears the futex word and wakes the
// parent when the child at last calls execve(2), where the stand-in takes the child's id (de_thread()), or ends. All of
// this lies in a page of the two's common memory, and is the program's from then on: it is dumped, moved and let go
// like anything else, and needs us no more. The page stays when the parent has gone home, and serves the next time.
//
// If we are killed meanwhile: before the main thread is sent to its end, it goes on, and the stand-in ends. Afterwards
// the stand-in goes on. If the parent, then, has not been sent into its wait (0.3 to 0.8 ms later), it finds a SIGSTOP
// and is stopped; a process that the stand-in makes continues it when the child has called execve(2) or ended.
#pragma once

#include <sys/types.h>

#include <optional>

#include "ckpt/freeze/tree_impl.h"
#include "ckpt/sys/error.h"

namespace drover {

// For whom a thread that does not stop waits in vfork(2); 0 if it does not seem to.
pid_t find_vfork_child(pid_t process, pid_t tid);

// Is the stopped thread in such a wait of ours, and since when: what it will have when it has gone home.
struct VforkWait {
  Registers registers;  // rax: the child's id
  std::uint64_t mask;
};
std::optional<VforkWait> find_vfork_wait(const FrozenProcess&, const FrozenThread&);

// Frees `waiting`, which stop_process() has left in its vfork(2) for `child`, and all else has been stopped and
// examined. A Refusal if that can't be done: as a rule with all as it was, at worst with a stand-in.
std::optional<Refusal> end_vfork(FrozenTree::Impl&, FrozenProcess& parent, FrozenThread& waiting, FrozenProcess& child);

}  // namespace drover
