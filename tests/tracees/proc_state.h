// What /proc shows of a process that must be the same after a move, as named lines.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace drover {

using ProcState = std::map<std::string, std::string>;

ProcState read_proc_state(pid_t pid);
// One line per difference: "status/SigBlk: 0 -> 4".
std::vector<std::string> differences(const ProcState& before, const ProcState& after);

}  // namespace drover
