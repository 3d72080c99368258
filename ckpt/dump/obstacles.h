// The rules of what can be moved, one function per kind of thing. find_obstacle() asks them about a running process,
// dump() about a frozen one. They read /proc and change nothing.
#pragma once

#include <sys/types.h>

#include <optional>
#include <variant>
#include <vector>

#include "ckpt/dump/dump.h"
#include "ckpt/image/state/files.h"
#include "ckpt/image/state/memory.h"
#include "ckpt/sys/maps.h"

namespace drover {

// Either what was asked for, or why not.
template <class T>
using Or = std::variant<T, Refusal>;

// Credentials, namespaces, seccomp, terminal: what concerns the process as a whole.
std::optional<Refusal> find_process_obstacle(pid_t pid, pid_t namespaces_of = 0);

// The areas and the files behind them. With smaps the flags are looked at as well.
Or<MemoryState> plan_memory(pid_t pid, const std::vector<Mapping>& mappings);

// The descriptor table. Descriptors that share an open file description are told apart by kcmp(2).
struct FilePlan {
  FilesState state;
  // For every open file: a descriptor of the process through which it can be reached.
  std::vector<int> representative;
};
Or<FilePlan> plan_files(pid_t pid, const DumpOptions&);

// "X (deleted)" without the kernel's remark; empty if it is not there.
std::optional<std::string> without_deleted(const std::string& link);

}  // namespace drover
