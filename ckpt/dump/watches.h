// inotify(7): what is watched is known by device and inode only, and a path to it has to be found.
#pragma once

#include <sys/types.h>

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "ckpt/image/state/files.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/fdinfo.h"

namespace drover {

// What the tree's processes have open, run, work in or have mapped, and the folders of all that: what a program watches
// is among it as a rule.
std::set<std::string> likely_paths(std::span<const pid_t> processes);

// A Refusal if a watch has no path that leads to its file. `name`: of the descriptor.
std::optional<Refusal> find_watched_paths(const std::vector<InotifyWatch>&, const std::set<std::string>& paths,
                                          const std::string& name, std::vector<WatchState>&);

}  // namespace drover
