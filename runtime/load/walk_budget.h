// Keeps a walk over /proc under a small part of a core: after a long one the next has to wait.
//
// Its cost is CPU time: on a busy node, or under a quota, a walk may take a hundred times as long as it costs, and that
// is where its result is needed most.
#pragma once

#include <cstdint>
#include <ctime>

namespace drover {

class WalkBudget {
 public:
  explicit WalkBudget(std::uint64_t share = 1000) : share_(share) {}  // a part of so many of the time; 0: no bound
  bool allows(std::uint64_t monotonic_ns) const { return monotonic_ns >= next_ns_; }
  void begin() { began_ns_ = thread_cpu_ns(); }
  void end(std::uint64_t monotonic_ns) { next_ns_ = monotonic_ns + (thread_cpu_ns() - began_ns_) * share_; }
  void reset() { next_ns_ = 0; }

 private:
  static std::uint64_t thread_cpu_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
  }
  std::uint64_t share_, began_ns_ = 0, next_ns_ = 0;
};

}  // namespace drover
