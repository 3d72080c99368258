// Two processes that take turns are quicker on one processor than on two: to wake a processor that has gone to sleep,
// each time and in both directions, takes 100 to 200 us on a virtual machine, where to switch takes 5.
#pragma once

#include <sched.h>

namespace drover {

// Keeps the calling thread, and whoever it makes meanwhile, on the processor where it is. To be ended by that thread.
// Where it is refused nothing is lost but time.
class OneProcessor {
 public:
  OneProcessor() { bind(); }
  OneProcessor(const OneProcessor&) = delete;
  ~OneProcessor() { loosen(); }

  // For a time in which more than one is of use; then to the same one as before.
  void loosen();
  void bind();

 private:
  cpu_set_t before_{}, one_{};
  bool bound_ = false;
};

}  // namespace drover
