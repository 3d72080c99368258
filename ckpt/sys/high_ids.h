// Ids for what restores a tree, or dumps it: not those that the tree is about to get, or would have got next.
#pragma once

#include <string>

namespace drover {

// While it lives, what is made in our PID namespace gets ids near its highest. Where that is not allowed (it takes
// CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN over the namespace), and in the initial namespace, whose ids are everybody's,
// it does nothing.
class HighIds {
 public:
  HighIds();
  HighIds(const HighIds&) = delete;
  HighIds& operator=(const HighIds&) = delete;
  ~HighIds();  // the next id is again what it was, unless that was left to a child

  // After fork(2), in the parent: the child has a copy of this, and may have chosen high ids anew by the time the
  // parent gets to putting the next one back.
  void leave_to_child() { before_.clear(); }

 private:
  std::string before_;  // empty: nothing was done
};

}  // namespace drover
