// Starting a job's program: from a spec to a running process with everything that a shell's child would have.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/shepherd/messages.h"

namespace drover::shepherd {

struct ProgramStreams {
  int in, out, err;  // descriptors that become 0, 1, 2
};

// A child on its way to exec. `report` tells how it went: end of file means the program runs, else it is a StartFailed.
struct StartingProgram {
  pid_t pid;
  int report;  // readable; owned by the caller
};

// Forks; the child runs `before` (it may block, and fail by throwing), then sets itself up as `spec` says and execs.
StartingProgram start_program(const JobSpec& spec, const ProgramStreams& streams, const std::vector<std::int32_t>& cpus,
                              const std::function<void()>& before);

// Thrown by `before` when another node won the register.
struct LostRegister {
  std::string winner;
};

}  // namespace drover::shepherd
