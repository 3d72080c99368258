// What a FrozenTree holds, for dump/.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "ckpt/freeze/interrupted_call.h"
#include "ckpt/freeze/release.h"
#include "ckpt/freeze/remote_memory.h"
#include "ckpt/freeze/tree.h"
#include "ckpt/image/state/thread.h"
#include "ckpt/sys/background_call.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/uapi.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// Of every thread, but where dump/seccomp.cpp adds to them.
inline constexpr unsigned kFreezeOptions = 1;  // PTRACE_O_TRACESYSGOOD

// Files of a thread under /proc, opened while it runs: to find one takes longer than to read it. Closed when the tree
// goes on or ends: to close them beside a dump slows its end and that of the threads. Not open where there are too
// many.
struct ThreadFiles {
  UniqueFd children, status;
};

struct FrozenThread {
  pid_t tid = 0;
  bool examined = false;  // the rest is known
  bool stopped = false;
  std::int64_t stopped_at_ns = 0;           // on the caller's CLOCK_MONOTONIC
  std::int64_t examined_at_ns = 0;          // so, too
  std::optional<std::int64_t> deadline_ns;  // of a wait that lingered; on the caller's CLOCK_MONOTONIC
  Registers registers{};                    // put right: see InterruptedCall
  Registers present{};                      // what is in the thread now
  std::optional<WaitState> wait;
  uapi::RseqConfiguration rseq{};  // address 0: not registered
  std::optional<LastRun> before;
  mutable ThreadFiles files;
  mutable std::optional<TaskStatus> status;  // read once: status_of()
};

struct FrozenProcess {
  explicit FrozenProcess(pid_t process) : pid(process), memory(process) {}
  pid_t pid;
  RemoteMemory memory;
  int stopped_by = 0;                 // group-stopped by this signal
  bool main_thread_ended = false;     // which is none of `threads`; but for a stand-in (vfork.h)
  bool ended_traced = false;          // and did so when it was ours: its end is told to us first
  std::vector<FrozenThread> threads;  // the leader first
};

const TaskStatus& status_of(const FrozenProcess&, const FrozenThread&);

Refusal has_been_killed(pid_t);

struct FrozenTree::Impl {
  FrozenProcess* find(pid_t);  // null: it is none of them

  std::vector<FrozenProcess> processes;  // the root first
  std::vector<pid_t> zombies;            // ended, and not waited for by their parents, which are among the processes
  HostClocks frozen_at;
  std::int64_t frozen_at_own_ns = 0;  // on the caller's CLOCK_MONOTONIC
  bool released = false;
  StillWaiting still;                   // of the time before
  std::list<SeenThrough> seen_through;  // processes whose main thread has ended
  BackgroundCall beside;  // for whoever looks at a tree of many threads; last, it ends before what it uses
};

}  // namespace drover
