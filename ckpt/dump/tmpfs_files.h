// Files with a name on tmpfs, such as those of shm_open(3): another node does not have them, so they travel.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>

#include "ckpt/dump/obstacles.h"

namespace drover {

// `info`: of the regular file `path`; `written`: the tree may write to it; `name`: for the Refusal of one that is too
// large. What nobody writes to is left out if it is too large: then the restorer must have it.
std::optional<Refusal> plan_tmpfs_file(const std::string& path, const struct stat& info, bool written,
                                       const std::string& name, TreeObjects&);

// The name that a file on tmpfs has in `folder`, although the one that it was opened by is gone: sem_open(3) gives a
// semaphore its name only when it is ready, by link(2).
std::optional<std::string> find_tmpfs_name(const std::string& folder, dev_t device, ino_t inode);

}  // namespace drover
