// Writes a frozen tree as an image.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ckpt/freeze/tree.h"
#include "ckpt/image/state/files.h"
#include "ckpt/image/stream.h"

namespace drover {

// An open file description whose other end the caller holds, such as the pipe that is a job's standard output. It is
// not dumped; the restorer is given its counterpart under the same key.
struct ExternalFile {
  dev_t device;
  ino_t inode;
  std::string key;  // unique within one image, such as "stdout"
};

struct DumpOptions {
  std::vector<ExternalFile> external;
  // Opaque bytes of the caller, given back by restore() (the runtime keeps the job's streams there). At most 1 MiB.
  std::vector<std::byte> context;
  // find_obstacle() only: a process whose namespaces the dumper will be in, and which takes in the tree's orphans, such
  // as the job's init; 0: the caller's namespaces, and orphans are none of the tree's.
  pid_t namespaces_of = 0;
  // find_obstacle() only: takes in the tree's orphans, if that is not `namespaces_of`.
  pid_t reaper = 0;
  // The CPUs that this node gives to jobs. A thread whose affinity is exactly this set gets the restorer's set.
  std::vector<int> node_cpus;
  // The tree has its IPC namespace to itself, as jobs have: all that is in it travels, and dump() must be called in it.
  // Else System V shared memory is refused.
  bool own_ipc = false;
  // The program and all that it maps privately travel as content, what of it is mapped: for nodes that have other
  // versions.
  bool with_program = false;
  // Paths of files that travel as content, too, if the tree only reads them: what of them is mapped, all of an open
  // one. For a node that has refused them as others (Refusal::differing).
  std::vector<std::string> carry;
  // Locks on files come back only if nobody takes them in between, and can't while the dumped tree still holds them: a
  // live migration refuses them.
  bool locks = false;
  // The tree may have one terminal whose master is outside, such as the one it was started from: the restorer gets
  // another one for it (HeldTree::take_terminal()).
  bool terminal = false;
  // Its master, if the caller holds that: then what lies in the terminal travels, too. The caller leaves both alone
  // meanwhile.
  int terminal_master = -1;
  // So do ports and abstract names of sockets: whoever dumps for a live migration leaves this off, and a tree that
  // holds one is refused.
  bool network_names = false;
  // Pages as LZ4 blocks where that makes them smaller. Worth it only where the link is slower than LZ4: the caller
  // measures.
  bool compress = false;
};

// An interrupted call whose rest of time the kernel does not tell: it may end late, never early.
struct EstimatedWait {
  pid_t tid = 0;
  std::string call;  // its name, or its number
  std::int64_t rest_ns = 0;
};

struct DumpStats {
  std::uint64_t image_bytes = 0;  // all records, headers included
  std::uint64_t page_bytes = 0;   // page contents in the image
  std::uint64_t zero_pages = 0;   // populated pages that held only zeros and were left out
  std::uint64_t processes = 0, threads = 0;
  std::vector<EstimatedWait> estimated_waits;
};

// What keeps `root` (or its tree) from being moved, found without stopping anything: from /proc alone, by the rules
// that dump() uses. Empty if nothing was found; dump() may still find what only a stopped process shows.
std::optional<Refusal> find_obstacle(pid_t root, const DumpOptions&);

struct DumpResult {
  std::optional<Refusal> refused;  // set: the image is not complete and must be thrown away, the tree is as it was
  DumpStats stats;
  std::vector<MemoryFile> memory_files;  // that travel as content and are written to: to be removed if they move
};

// Streams the whole image of `tree` to `sink`, metadata before pages, and flushes. The tree stays frozen and unchanged;
// the caller decides then between thaw() and kill(). Throws SystemError (tree still frozen and unchanged).
DumpResult dump(FrozenTree& tree, ByteSink& sink, const DumpOptions&);

}  // namespace drover
