// Files in memory (tmpfs, such as /dev/shm) that a job has taken along to a node that had none of them: what is still
// here is nobody's any more, and would keep the job from coming back.
#pragma once

#include <string>
#include <vector>

#include "ckpt/image/state/files.h"

namespace drover {

// Removes those that are still the very files and that no process has open or mapped that can be looked at from here.
// To be called when the job's processes here have ended. Gives a line about each. Blocks: reads all of /proc.
std::vector<std::string> remove_left_files(const std::vector<MemoryFile>& files);

}  // namespace drover
