// A restart block of its own for a thread that has only registers: one that was made anew, or that stands in for
// another.
#pragma once

#include <cstdint>

#include "ckpt/freeze/interrupted_call.h"
#include "ckpt/freeze/remote_memory.h"
#include "ckpt/freeze/tracee.h"

namespace drover {

// Makes a genuine restart block with the rest of the time: the call in `wanted` is begun with that time and interrupted
// at once, so that the kernel holds the deadline, and pointers into the program's memory are those of the program.
// Returns what the thread, whose signals are blocked, shall have in its registers instead of `wanted`: the answer, if
// the call had one at once. `timeout`: of restart_block_call(). `scratch`: 16 bytes of the target, with nothing in
// them. `instruction`: a `syscall` instruction there.
Registers rebuild_wait(const Tracee&, const RemoteMemory&, const Registers& wanted, const TimeoutArgument& timeout,
                       std::int64_t rest_ns, std::uint64_t scratch, std::uint64_t instruction);

}  // namespace drover
