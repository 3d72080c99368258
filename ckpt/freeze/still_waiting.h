// What is known of interrupted waits after their threads were let go, for whoever stops the same tree next.
//
// The kernel keeps no account that we could read: of a call that it restarts only the whole time and the moment of the
// last restart can be found out, so a sleep that is moved every minute would never end. And a timed call of the EINTR
// kind (interrupted_call.h) runs with a shortened argument, so its thread stays traced, by the process that let it go,
// which alone can stop it again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "ckpt/freeze/release.h"
#include "ckpt/image/state/thread.h"

namespace drover {

// When one thread's restarted call ends. It holds as long as the thread sleeps in that same call.
struct KnownWait {
  std::int32_t process = 0, tid = 0;
  std::int64_t call = 0;  // its number
  std::uint64_t rip = 0, rsp = 0;
  std::int64_t deadline_ns = 0, released_ns = 0;  // on the host's CLOCK_MONOTONIC
  bool estimated = false;
  template <class A>
  void serialize(A& a, unsigned) {
    a& process& tid& call& rip& rsp& deadline_ns& released_ns& estimated;
  }
};

inline KnownWait known_wait(const ThreadRelease& release, const WaitState& wait, std::int64_t deadline_ns,
                            std::int64_t released_ns) {
  const Registers& r = release.registers;
  return {release.process, release.tid,   static_cast<std::int64_t>(r.orig_rax), r.rip, r.rsp, deadline_ns,
          released_ns,     wait.estimated};
}

struct StillWaiting {
  std::vector<KnownWait> known;
  LingeringThreads lingering;  // destroying it waits for them
};

}  // namespace drover
