// The downtime that an ordinary user of the commands sees.
#pragma once

#include <string>

#include "heartbeat_program.h"

namespace drover {

// As `sh -c 'drover-ckpt dump PID IMAGE && drover-ckpt restore --detach --new-pid-namespace IMAGE'`, by who we
// are, or as root by nobody, with both programs copied to where they can be read. Returns when the restored program has
// written its largest gap. Throws std::runtime_error.
void run_with_commands(const std::string& heartbeat, const std::string& drover_ckpt, const Case&);

}  // namespace drover
