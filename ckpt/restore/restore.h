// Makes a tree of processes from an image. Everything is checked that can be before the first process is made, and the
// tree is held in ptrace-stop until resume(): a commit protocol can decide in between.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ckpt/freeze/still_waiting.h"
#include "ckpt/image/stream.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

struct RestoreOptions {
  // The counterparts of DumpOptions::external by key, as descriptors of the caller. Not consumed.
  std::map<std::string, int> external;
  // The CPUs of this node for jobs (empty: all), also for threads bound to CPUs of which this node has none.
  std::vector<int> node_cpus;
  // The restored root becomes a child of the caller's parent instead of the caller (CLONE_PARENT): the shepherd's
  // worker restores, its init reaps.
  bool child_of_parent = false;
  // Make a new time namespace for the tree so that CLOCK_MONOTONIC and CLOCK_BOOTTIME go on. Needs CAP_SYS_ADMIN in the
  // caller's user namespace; the calling process must be single-threaded.
  bool time_namespace = false;
  // For tests: as if the kernel here had another vdso than the program's.
  bool other_vdso = false;
  // The caller takes the master of a terminal that is given to the tree. Without it such an image is refused. If the
  // tree was in a session that none of it leads, the calling process becomes the leader of a session with that
  // terminal; it must not lead a process group, and the tree is hung up when it ends.
  bool terminal = false;
  // Where the image holds the IPC of a namespace (DumpOptions::own_ipc), make a new IPC namespace for it; else the
  // caller is in one that is the tree's own, and empty. Needs CAP_SYS_ADMIN as above.
  bool ipc_namespace = false;
  // The frozen time counts into both clocks (live migration), or only into BOOTTIME (an image that was at rest).
  bool live = true;
  // A file that the tree had open for writing, or mapped so, and that is longer now is cut back to what it was: what
  // was written there after the image is lost, and the tree writes it again. Else such an image is refused.
  bool truncate = false;
};

// A restored tree, held in ptrace-stop; it dies with the calling process. Destruction kills what was not resumed.
class HeldTree {
 public:
  HeldTree(HeldTree&&) noexcept;
  HeldTree& operator=(HeldTree&&) noexcept;
  ~HeldTree();

  pid_t root() const;                             // in the caller's PID namespace
  const std::vector<std::byte>& context() const;  // what DumpOptions::context held
  // What could not be made as it was and is no reason to refuse, a line each, for whoever reads logs.
  const std::vector<std::string>& notes() const;
  // Files in memory (DumpResult::memory_files among them) that were not here and have been made, by path. Until
  // resume().
  std::vector<std::string> made_files() const;
  // The master of the tree's terminal (RestoreOptions::terminal), non-blocking; empty if it was given none. Once.
  UniqueFd take_terminal();

  // Rebuilds the waits of interrupted system calls, drops capabilities that only the restoring needed, and lets all go
  // on; from here on the tree no longer dies with the caller. It gives back what FrozenTree::thaw() does.
  [[nodiscard]] StillWaiting resume();
  void kill();

  struct Impl;
  explicit HeldTree(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

// Reads one image from `source` up to and including its end record. A Refusal when this node can't hold the program
// (CPU features, files, memory, kernel), found from the metadata before the first page is read; ImageError when the
// bytes are not a whole and sound image; SystemError when the kernel refuses a step. In all cases nothing of the tree
// is left, but with `child_of_parent` a dead child that the caller's parent has to reap.
std::variant<HeldTree, Refusal> restore(ByteSource& source, const RestoreOptions&);

}  // namespace drover
