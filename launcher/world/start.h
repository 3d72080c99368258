// Starting the supervisor and waiting until its world is ready.
#pragma once

#include <chrono>
#include <string>

#include "launcher/world/mpi_settings.h"
#include "runtime/control/paths.h"

namespace drover {

// The folder of the running program, where droverd and the others lie too.
std::string program_directory();
// An executable in PATH; throws std::runtime_error saying how to get it.
std::string find_mpirun();

// Starts a supervisor and returns when its first world is ready on a node of this host: that node's name. Throws
// std::runtime_error: already up, mpirun or droverd missing, a node that can't be reached, not ready within `timeout`;
// nothing is left running then.
std::string start_world(const InstancePaths& paths, const WorldOptions& options, std::chrono::seconds timeout);

// In a log of mpirun, ssh and droverd: what a droverd gave as its reason for leaving. Empty if none did.
std::string reason_of_ranks(const std::string& text);
// The telling line of such a log: why a world did not come up. Empty if there is none.
std::string reason_in_log(const std::string& text);

}  // namespace drover
