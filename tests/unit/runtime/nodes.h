// Nodes as policies see them.
#pragma once

#include "runtime/policy/view.h"

namespace drover {

// Of one PU and speed 1 if nothing else is said; BUSY from one job on.
inline NodeView node_of(double load, double speed = 1) {
  NodeView node;
  node.load = load;
  node.speed = speed;
  node.jobs = node.movable = static_cast<int>(load);
  node.state = load < 1 ? NodeState::Free : NodeState::Busy;
  return node;
}

}  // namespace drover
