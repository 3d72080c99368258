// Named fault points: places where tests let one side fail. `docs/migration.md` has the table of what must hold at
// each.
//
// Armed by a file: the runtime directory of a node holds `fault` with lines "POINT ACTION"; the first process that
// comes by POINT takes its line out and does ACTION: kill (SIGKILL itself), stop (SIGSTOP itself: the test then does
// what it likes), fail (throws), delay=MILLISECONDS. Messages of a move are points too: "send.MoveResumed drop" loses
// the next one. Looked at only where DROVER_FAULTS is set in droverd's environment.
#pragma once

#include <string>

namespace drover {

// Tells this process where to look: its node's runtime directory.
void arm_faults(const std::string& node_dir);
void fault_point(const char* name);
// True if the message is to be lost.
bool fault_drop(const std::string& name);

}  // namespace drover
