// What the sockets of a tree are to each other: peers, listeners and who waits at them, names that lead to them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ckpt/dump/obstacles.h"
#include "ckpt/sys/unix_diag.h"

namespace drover {

struct PlannedSocket {
  std::uint32_t index = 0;  // into OpenFilesState::files
  UnixSocketInfo info;
};

struct SocketPlan {
  std::map<ino_t, PlannedSocket> sockets;  // unix sockets, by inode
  // Something is on its way through a socket that has not been looked into: what seems to lead outside may not.
  bool unknown_rights = false;
  bool frozen = false;
};

// Completes the states of unix sockets. `processes`: of the tree; `names`: of the open files, for refusals.
std::optional<Refusal> connect_sockets(const SocketPlan&, std::span<const pid_t> processes,
                                       const std::vector<std::string>& names, const DumpOptions&, FilePlan&);

}  // namespace drover
