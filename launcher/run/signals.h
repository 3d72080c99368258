// The signals that `drover run` passes on to its job, as a descriptor to poll.
#pragma once

#include <csignal>
#include <optional>

#include "ckpt/sys/unique_fd.h"

namespace drover {

// Blocks INT, TERM, HUP, QUIT, USR1, USR2, CONT, TSTP and WINCH, but for those that are ignored, in this thread and
// those it starts; make it before any thread. SIGPIPE is ignored: a closed stdout is EPIPE. The old mask comes back at
// the end.
class ForwardedSignals {
 public:
  ForwardedSignals();
  ~ForwardedSignals();
  ForwardedSignals(const ForwardedSignals&) = delete;
  ForwardedSignals& operator=(const ForwardedSignals&) = delete;

  int fd() const { return fd_.get(); }
  std::optional<int> take();  // without waiting

 private:
  sigset_t old_;
  UniqueFd fd_;
};

}  // namespace drover
