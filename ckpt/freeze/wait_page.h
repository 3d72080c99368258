// The page in the common memory of a parent in vfork(2) and its child that holds our wait (vfork.h).
#pragma once

#include <time.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "ckpt/freeze/batch.h"
#include "ckpt/freeze/remote_syscalls.h"

namespace drover {

// What lies in the page. Of the words the kernel clears one when the child's main thread has ended, and the other when
// the stand-in calls execve(2) or ends.
struct WaitPage {
  std::array<std::byte, 1024> code{};  // the runner
  std::uint32_t main_thread = 1;       // these five as drover_runner_stand_in knows them
  std::uint32_t parent_waits = 0;
  timespec patience{60, 0};
  std::uint32_t child = 1;
  std::int32_t parent = 0;            // its process id
  std::array<Batch::Call, 5> wait{};  // several times, should somebody wake a futex that was here long ago
  std::array<Batch::Call, 3> leave{};
  Batch::Call rebuilt{};
  timespec scratch{};
  WayHome birth_home{};  // of a stand-in that we, being killed, have left before its first instruction
  WayHome child_home{}, parent_home{};
  std::array<std::byte, 1552> room{};  // for what a later dump puts below where the parent's rsp points
  WayHome parent_onto_stack{};
};
static_assert(sizeof(WaitPage) == RemoteArea::kPageBytes);
inline constexpr std::uint64_t kRegisters = offsetof(WayHome, registers);  // where rsp points on the way home

// Does it begin with the runner?
bool has_runner(const RemoteMemory&, std::uint64_t page);

}  // namespace drover
