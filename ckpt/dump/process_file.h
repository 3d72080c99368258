// Files of /proc that speak of one process, such as /proc/self/status: they can be opened again only when that is
// there.
#pragma once

#include <optional>

#include "ckpt/dump/plan_descriptor.h"

namespace drover {

// The process whose folder in /proc it lies in, or is; its number is that of the PID namespace which the procfs shows.
std::optional<pid_t> process_of_file(const Descriptor&);

// Whether it can be opened when the processes are there, but their threads and descriptors are not.
std::optional<Refusal> find_process_file_obstacle(const Descriptor&, pid_t process);

}  // namespace drover
