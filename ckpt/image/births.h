// In which order the processes of a tree must be born so that every one gets its parent, session and process group.
//
// The hard part is that none of the three can be set afterwards: a process has its parent from birth, a session can
// only be begun or inherited, and a group joined only while it has members (credentials(7), setsid(2), setpgid(2)).
// What is inherited from processes that are gone needs helpers in their places, which end when all others are there.
// What a process shares with another (SharedState) it can only be born with, by one that has it: its parent or a
// sibling.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "ckpt/image/state/process.h"
#include "ckpt/sys/error.h"

namespace drover {

enum class BirthAct {
  Make,         // `pid` as a child of `by`; by 0: of the restorer, which is so for the root only
  MakeSibling,  // `pid` by `by`, as a child of the parent of `by` (CLONE_PARENT)
  NewSession,   // setsid()
  LeadGroup,    // setpgid(0, 0)
  JoinGroup,    // setpgid(0, group)
  End,          // a helper exits; `by` reaps it, 0: the root's parent does
};

enum Sharing : unsigned { kShareMemory = 1, kShareHandlers = 2, kShareFiles = 4, kShareDirectories = 8 };

struct BirthStep {
  BirthAct act = BirthAct::Make;
  pid_t pid = 0;
  pid_t by = 0;
  pid_t group = 0;
  bool helper = false;  // of Make and MakeSibling: not a process of the program
  unsigned shares = 0;  // of Make and MakeSibling: what `pid` has in common with `by`, a Sharing
  bool operator==(const BirthStep&) const = default;
};

// `processes`: the root first. Processes whose parent is not among them are children of the root's parent. Sessions and
// groups that the root is in, but nobody in the tree leads, become the restorer's. `is_free` tells whether a helper may
// have a process id of no meaning. A Refusal when no order of births leads there.
std::variant<std::vector<BirthStep>, Refusal> plan_births(const std::vector<ProcessState>& processes,
                                                          const std::function<bool(pid_t)>& is_free);

}  // namespace drover
