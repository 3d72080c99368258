// The kernel remembers of a socket who made it, listened, connected or sent, by process id and user, even when that
// process is gone. So somebody of that id does it again.
#pragma once

#include <functional>
#include <string>

#include "ckpt/image/state/sockets.h"

namespace drover {

struct Actor {
  SocketUser user;   // process id 0: whoever
  std::string root;  // to where it changes its root; empty: ours
  std::string folder = "/";
};

// Runs `work` in a child process that has our descriptor table and a copy of our memory, and gives back what it
// returns: 0 or an errno value. Where the process id can't be had, with another one. Throws SystemError.
int run_as(const Actor&, const std::function<int()>& work);

}  // namespace drover
