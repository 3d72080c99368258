// The rules of what can be moved, one function per kind of thing. find_obstacle() asks them about a running process,
// dump() about a frozen one. They read /proc and change nothing.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "ckpt/dump/dump.h"
#include "ckpt/image/state/files.h"
#include "ckpt/image/state/memory.h"
#include "ckpt/image/state/process.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

struct FrozenProcess;

// Either what was asked for, or why not.
template <class T>
using Or = std::variant<T, Refusal>;

// DumpOptions::carry
bool is_carried(const DumpOptions&, const std::string& path);

// Credentials, namespaces, seccomp: what concerns the process as a whole.
std::optional<Refusal> find_process_obstacle(const FrozenProcess&);

// The largest file that travels as a part of the image, in bytes.
inline constexpr std::uint64_t kMaxCarriedBytes = 1024 * 1024 * 1024;

// What the processes of a tree have in common, by the kernel's own names for things: device and inode.
struct TreeObjects {
  using Key = std::pair<dev_t, ino_t>;
  std::map<Key, std::uint32_t> shared_memory;  // numbers of shared anonymous memory

  std::map<Key, std::uint32_t> numbers;  // indices into the next two
  std::vector<FileObject> objects;
  // Where the content of an object can be had: through a descriptor, else from all memory that it is mapped to.
  struct Mapped {
    pid_t process;
    std::uint64_t start, end, offset;
    bool shared;
    std::vector<bool> huge_pages;  // of a file of huge pages: which there are; no others may be touched
  };
  struct Source {
    pid_t process = 0;
    int fd = -1;
    std::string path;  // where it can be opened, if not through the descriptor
    std::vector<Mapped> mapped;
  };
  std::vector<Source> sources;

  explicit TreeObjects(const DumpOptions& of) : options(of) {}
  const DumpOptions& options;
  struct Segment {
    std::uint32_t index;  // into IpcState::segments
    std::int32_t key;     // that it was made with
  };
  std::map<std::int32_t, Segment> segments;  // of System V shared memory, by id

  std::uint32_t number_of(const Key&, const FileObject&);
};

// The areas and the files behind them. With smaps the flags are looked at as well.
Or<MemoryState> plan_memory(pid_t pid, const std::vector<Mapping>& mappings, TreeObjects&);

// The open files of a tree and who has them. Descriptors that share an open file description are told apart by kcmp(2).
struct FilePlan {
  OpenFilesState state;            // its objects are in TreeObjects until all are known
  std::vector<FilesState> tables;  // of each process
  // For every open file: a process and a descriptor of it through which it can be reached.
  struct Place {
    pid_t process;
    int fd;
  };
  std::vector<Place> places;
  // For every terminal: the process that it was found with, and descriptors of both its sides, -1: none.
  struct TerminalPlace {
    pid_t process = 0;
    Place master{0, -1}, slave{0, -1};
  };
  std::vector<TerminalPlace> terminals;
  std::vector<UniqueFd> in_flight;  // what is on its way through sockets; those that nobody else has are in `places`
};
// Looks into the queues of the tree's sockets only when the tree is frozen. `sharing`: as find_sharing() gives it, in
// the order of `processes`; empty: not known.
Or<FilePlan> plan_files(std::span<const pid_t> processes, std::span<const pid_t> zombies, const DumpOptions&,
                        TreeObjects&, bool frozen, std::span<const SharedState> sharing = {});

// Modes, sizes and contents of the terminals among them, of a frozen tree. `given_master`:
// DumpOptions::terminal_master.
std::optional<Refusal> collect_terminals(FilePlan&, int given_master);

// A directory that has been removed but is in use, `link` being how /proc shows it; one that is in its place is none.
// A Refusal if the folder that it was in is gone, too, so that it can't be made again.
std::optional<Refusal> plan_gone_directory(const std::string& link, const struct stat&, const std::string& name,
                                           TreeObjects&, std::optional<std::uint32_t>& object);

// "X (deleted)" without the kernel's remark; empty if it is not there.
std::optional<std::string> without_deleted(const std::string& link);

}  // namespace drover
