// The open file descriptions of a tree, which its processes may share, and each process's descriptor table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/image/state/file_identity.h"
#include "ckpt/image/state/sockets.h"
#include "ckpt/image/state/terminal.h"

namespace drover {

enum class FileKind : std::uint8_t {
  Regular = 0,
  Directory = 1,
  Device = 2,    // /dev/null and its kind
  External = 3,  // the restorer is given it under `key`
  Nameless = 4,  // of an object that is a file
  EventFd = 5,
  Epoll = 6,
  TimerFd = 7,
  Pipe = 8,  // of an object that is a pipe
  SignalFd = 9,
  Socket = 10,
  Pidfd = 11,  // `counter`: the process, which is in the tree; 0: one that is gone
  Inotify = 12,
  TerminalMaster = 13,       // these three: `object` is an index into OpenFilesState::terminals
  Terminal = 14,             // its slave
  ControllingTerminal = 15,  // the same, opened as /dev/tty
  OfProcess = 16,            // of the folder of `counter` in /proc, which is in the tree
};

// What has no name by which it could be opened again, so that it travels itself, its content in FileData records.
enum class ObjectKind : std::uint8_t {
  Unlinked = 0,  // a regular file; `path`: the folder that it was in
  Pipe = 1,      // both ends are in the tree, or closed; `size`: what it can hold; `path`: of a named one (fifo(7))
  Memfd = 2,     // `path`: its name
  Tmpfs = 3,     // a regular file in memory with a name, `path`: put there where it is not; opened by its name
  GoneDirectory = 4,  // removed, and still somebody's working directory or open; `path`: the one that it had
};

struct FileObject {
  ObjectKind kind = ObjectKind::Unlinked;
  std::string path;
  std::uint32_t mode = 0;
  std::uint64_t size = 0;
  std::uint32_t seals = 0;       // of a memfd (fcntl(2), F_GET_SEALS)
  bool program = false;          // some process runs it: nobody may have it open for writing
  std::uint32_t huge_shift = 0;  // of a file of huge pages (hugetlbfs): the binary logarithm of their size
  // Tmpfs only, the last two also GoneDirectory:
  bool written = false;  // the tree may write to it: its time may lag behind
  std::int64_t mtime_ns = 0;
  std::uint64_t device = 0, inode = 0;  // on the machine and boot of the image
  std::uint32_t uid = 0, gid = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& kind& path& mode& size& seals& program& huge_shift& written& mtime_ns& device& inode& uid& gid;
  }
};

// One of kind Tmpfs that the tree may write to, on the machine that the image is made on.
struct MemoryFile {
  std::string path;
  std::uint64_t device = 0, inode = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& path& device& inode;
  }
};

struct EpollEntry {
  std::int32_t fd = -1;
  std::uint32_t events = 0;
  std::uint64_t data = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& fd& events& data;
  }
};

struct WatchState {  // of inotify(7)
  std::int32_t descriptor = 0;
  std::uint32_t mask = 0;
  std::string path;
  template <class A>
  void serialize(A& a, unsigned) {
    a& descriptor& mask& path;
  }
};

struct OpenFileState {
  FileKind kind = FileKind::Regular;
  std::int32_t flags = 0;  // O_* without O_CLOEXEC
  std::int64_t position = 0;
  FileIdentity file;          // Regular, Directory, Device, OfProcess
  std::string key;            // External
  std::uint32_t object = 0;   // Nameless, Pipe: index into OpenFilesState::objects; or ::terminals
  std::uint64_t counter = 0;  // EventFd; TimerFd: expirations not yet read; SignalFd: its mask
  bool semaphore = false;     // EventFd
  std::int32_t watcher = 0;   // Epoll: the process whose descriptors `watched` speaks of
  std::vector<EpollEntry> watched;
  std::int32_t clock_id = 0, settime_flags = 0;
  std::int64_t value_ns = 0, interval_ns = 0;
  std::optional<SocketState> socket;  // Socket
  std::vector<WatchState> watches;    // Inotify

  template <class A>
  void serialize(A& a, unsigned) {
    a& kind& flags& position& file& key& object& counter& semaphore& watcher& watched& clock_id& settime_flags&
        value_ns& interval_ns& socket& watches;
  }
};

struct OpenFilesState {
  std::vector<FileObject> objects;  // areas of memory speak of them, too
  std::vector<TerminalState> terminals;
  std::vector<OpenFileState> files;
  template <class A>
  void serialize(A& a, unsigned) {
    a& objects& terminals& files;
  }
};

struct DescriptorState {
  std::int32_t fd = -1;
  bool close_on_exec = false;
  std::uint32_t open_file = 0;  // index into OpenFilesState::files
  template <class A>
  void serialize(A& a, unsigned) {
    a& fd& close_on_exec& open_file;
  }
};

enum class HeldLockKind : std::uint8_t {
  Flock = 0,     // flock(2)
  Posix = 1,     // fcntl(2), F_SETLK: of the process
  OpenFile = 2,  // fcntl(2), F_OFD_SETLK: of the open file description
};

struct HeldLockState {
  HeldLockKind kind = HeldLockKind::Flock;
  std::int32_t fd = -1;  // through which it can be had again
  bool write = false;
  std::int64_t start = 0, length = 0;  // 0: to the end
  template <class A>
  void serialize(A& a, unsigned) {
    a& kind& fd& write& start& length;
  }
};

struct FilesState {
  std::int32_t process = 0;
  std::vector<DescriptorState> descriptors;  // ascending by fd
  std::vector<HeldLockState> locks;          // that no process before has
  template <class A>
  void serialize(A& a, unsigned) {
    a& process& descriptors& locks;
  }
};

// A piece of the content of an object. What no piece covers is zero.
struct FileDataState {
  std::uint32_t object = 0;
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;
  template <class A>
  void serialize(A& a, unsigned) {
    a& object& offset& bytes;
  }
};

}  // namespace drover
