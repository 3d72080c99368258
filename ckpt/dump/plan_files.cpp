// Which files the processes of a tree have open, and whether all of them can be opened again elsewhere.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "ckpt/dump/obstacles.h"
#include "ckpt/dump/sockets.h"
#include "ckpt/dump/watches.h"
#include "ckpt/sys/fdinfo.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static constexpr std::uint64_t kMaxUnlinkedBytes = 1024 * 1024 * 1024;

namespace {

struct Descriptor {
  pid_t process;
  int fd;
  bool of_root;
  std::string link;
  struct stat info;
  FdInfo detail;
  std::string name() const {
    return of_root ? fmt::format("fd {}", fd) : fmt::format("fd {} of process {}", fd, process);
  }
};

}  // namespace

static FileIdentity identity_of(const std::string& path, const struct stat& info, int flags) {
  const std::int64_t mtime = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
  return {path, info.st_mode, static_cast<std::uint64_t>(info.st_size), mtime, (flags & O_ACCMODE) != O_RDONLY};
}

static bool is_memfd(const Descriptor& d) { return d.link.compare(0, 7, "/memfd:") == 0; }

static bool same_inode(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static std::optional<Refusal> plan_nameless(const Descriptor& d) {
  struct statfs fs {};
  if (::statfs(fmt::format("/proc/{}/fd/{}", d.process, d.fd).c_str(), &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
    return Refusal{fmt::format("holds a file of huge pages, {}", d.name())};
  if (static_cast<std::uint64_t>(d.info.st_size) > kMaxUnlinkedBytes && !is_memfd(d))
    return Refusal{fmt::format("holds an unlinked file of {} MiB, {}", d.info.st_size >> 20, d.name())};
  return std::nullopt;
}

static FileObject describe_object(const Descriptor& d) {
  FileObject object;
  object.mode = d.info.st_mode;
  const std::string path = without_deleted(d.link).value_or(d.link);
  if (S_ISFIFO(d.info.st_mode)) {
    object.kind = ObjectKind::Pipe;
    return object;
  }
  object.size = static_cast<std::uint64_t>(d.info.st_size);
  if (is_memfd(d)) {
    object.kind = ObjectKind::Memfd;
    object.path = path.substr(std::string_view("/memfd:").size());
  } else {
    object.path = path.substr(0, std::max<std::size_t>(1, path.rfind('/')));
  }
  return object;
}

static std::optional<Refusal> plan_regular(const Descriptor& d, OpenFileState& file) {
  file.file = identity_of(d.link, d.info, d.detail.flags);
  if (d.info.st_nlink == 0) {
    file.kind = FileKind::Nameless;
    return plan_nameless(d);
  }
  struct stat now {};
  if (::stat(d.link.c_str(), &now) != 0 || !same_inode(now, d.info))
    return Refusal{fmt::format("holds {}, which has been moved or replaced, {}", d.link, d.name())};
  file.kind = FileKind::Regular;
  return std::nullopt;
}

static std::optional<Refusal> plan_directory(const Descriptor& d, OpenFileState& file) {
  struct stat now {};
  if (::stat(d.link.c_str(), &now) != 0 || !same_inode(now, d.info))
    return Refusal{fmt::format("holds a directory that is gone, {} ({})", d.name(), d.link)};
  file.kind = FileKind::Directory;
  file.file = identity_of(d.link, d.info, O_RDONLY);
  return std::nullopt;
}

static std::optional<Refusal> plan_device(const Descriptor& d, OpenFileState& file) {
  const unsigned major = major(d.info.st_rdev), minor = minor(d.info.st_rdev);
  // Documentation/admin-guide/devices.txt: 1 is memory (null 3, zero 5, full 7, random 8, urandom 9).
  const bool harmless = major == 1 && (minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9);
  if (major == 4 || major == 5 || (major >= 136 && major <= 143))
    return Refusal{fmt::format("holds a terminal, {} ({})", d.name(), d.link)};
  if (!harmless) return Refusal{fmt::format("holds a device, {} ({})", d.name(), d.link)};
  file.kind = FileKind::Device;
  file.file = identity_of(d.link, d.info, O_RDONLY);
  return std::nullopt;
}

// A pipe travels when the tree holds both of its ends; whoever else may hold one is outside of the job.
static std::optional<Refusal> plan_pipe(const Descriptor& d, OpenFileState& file) {
  if (d.link.compare(0, 5, "pipe:") != 0) return Refusal{fmt::format("holds a named pipe, {} ({})", d.name(), d.link)};
  if (d.detail.flags & O_DIRECT) return Refusal{fmt::format("holds a pipe in packet mode, {}", d.name())};
  file.kind = FileKind::Pipe;
  return std::nullopt;
}

// Has everybody closed the other end? (pipe_poll(): POLLHUP without a writer, POLLERR without a reader; not through a
// new open of the same end, which waits for its first writer)
static bool other_end_closed(const FilePlan::Place& place) {
  const UniqueFd copy = borrow(place.process, place.fd);
  pollfd ask{copy.get(), 0, 0};
  return copy && ::poll(&ask, 1, 0) == 1 && (ask.revents & (POLLHUP | POLLERR)) != 0;
}

static std::optional<Refusal> find_pipe_to_outside(const FilePlan& plan, const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < plan.state.files.size(); ++i) {
    const OpenFileState& pipe = plan.state.files[i];
    if (pipe.kind != FileKind::Pipe) continue;
    bool read = false, write = false;
    for (const OpenFileState& end : plan.state.files) {
      if (end.kind != FileKind::Pipe || end.object != pipe.object) continue;
      read |= (end.flags & O_ACCMODE) != O_WRONLY;
      write |= (end.flags & O_ACCMODE) != O_RDONLY;
    }
    if ((!read || !write) && !other_end_closed(plan.places[i]))
      return Refusal{"holds a pipe to the outside, " + names[i]};
  }
  return std::nullopt;
}

static void plan_timerfd(const FdInfo& detail, OpenFileState& file) {
  file.kind = FileKind::TimerFd;
  file.clock_id = detail.clock_id;
  file.counter = detail.timer_ticks;
  file.value_ns = detail.timer_value_ns;
  file.interval_ns = detail.timer_interval_ns;
}

// What is watched is named by the descriptor number that it had in the process that added it; if that number means
// another file by now it can't be added again.
static bool find_watched(const Descriptor& d, OpenFileState& file) {
  file.watcher = d.process;
  file.watched.clear();
  for (const EpollTarget& target : d.detail.epoll_targets) {
    struct stat info {};
    const std::string path = fmt::format("/proc/{}/fd/{}", d.process, target.fd);
    if (::stat(path.c_str(), &info) != 0 || info.st_ino != target.inode) {
      file.watcher = 0;
      return false;
    }
    file.watched.push_back({target.fd, target.events, target.data});
  }
  return true;
}

static std::optional<Refusal> plan_anonymous(const Descriptor& d, OpenFileState& file) {
  static constexpr std::pair<const char*, const char*> kNames[] = {
      {"[io_uring]", "an io_uring"}, {"[userfaultfd]", "a userfaultfd"}, {"[perf_event]", "a performance counter"}};
  constexpr int kTimerCancelOnSet = 2;
  if (d.link == "anon_inode:[eventpoll]") {
    file.kind = FileKind::Epoll;
    find_watched(d, file);
    return std::nullopt;
  }
  if (d.link == "anon_inode:inotify") {
    file.kind = FileKind::Inotify;
    return std::nullopt;  // paths are found when all processes are known
  }
  if (d.link == "anon_inode:[eventfd]" && d.detail.eventfd_count.value_or(~0ULL) <= 0xffffffff) {
    file.kind = FileKind::EventFd;
    file.counter = *d.detail.eventfd_count;
    file.semaphore = d.detail.eventfd_semaphore;
    return std::nullopt;
  }
  if (d.link == "anon_inode:[timerfd]" && (d.detail.timer_settime_flags & kTimerCancelOnSet) == 0) {
    plan_timerfd(d.detail, file);
    return std::nullopt;
  }
  if (d.link == "anon_inode:[signalfd]" && d.detail.signal_mask) {
    file.kind = FileKind::SignalFd;
    file.counter = *d.detail.signal_mask;
    return std::nullopt;
  }
  for (const auto& [link, name] : kNames) {
    if (d.link.find(link) != std::string::npos) return Refusal{fmt::format("holds {}, {}", name, d.name())};
  }
  return Refusal{fmt::format("holds {}, {}", d.link, d.name())};
}

static std::optional<Refusal> plan_socket(const Descriptor& d, OpenFileState& file, ino_t& peer) {
  const UniqueFd socket = borrow(d.process, d.fd);
  const std::string kind = socket_kind(socket);
  if (kind != "a unix socket") return Refusal{fmt::format("holds {}, {}", kind, d.name())};
  file.kind = FileKind::UnixSocket;
  return plan_unix_socket(socket, d.info.st_ino, d.name(), file.socket.emplace(), peer);
}

static std::optional<Refusal> plan_pidfd(const Descriptor& d, OpenFileState& file) {
  constexpr int kOfThread = O_EXCL;  // PIDFD_THREAD
  if (*d.detail.pidfd_target <= 0) return Refusal{fmt::format("holds a pidfd of a process that is gone, {}", d.name())};
  if ((d.detail.flags & kOfThread) != 0) return Refusal{fmt::format("holds a pidfd of a thread, {}", d.name())};
  file.kind = FileKind::Pidfd;
  file.counter = static_cast<std::uint64_t>(*d.detail.pidfd_target);
  return std::nullopt;
}

static std::optional<Refusal> plan_one(const Descriptor& d, const DumpOptions& options, OpenFileState& file,
                                       ino_t& peer) {
  file.flags = d.detail.flags & ~O_CLOEXEC;
  file.position = d.detail.position;
  for (const ExternalFile& external : options.external) {
    if (external.device != d.info.st_dev || external.inode != d.info.st_ino) continue;
    file.kind = FileKind::External;
    file.key = external.key;
    return std::nullopt;
  }
  for (const FileLock& lock : d.detail.locks) {
    if (lock.kind == LockKind::Lease) return Refusal{fmt::format("holds a lease on {}, {}", d.link, d.name())};
  }
  if (d.detail.flags & O_ASYNC) return Refusal{fmt::format("wants signals for input (O_ASYNC), {}", d.name())};
  if (d.detail.pidfd_target) return plan_pidfd(d, file);
  switch (d.info.st_mode & S_IFMT) {
    case S_IFREG:
      return plan_regular(d, file);
    case S_IFDIR:
      return plan_directory(d, file);
    case S_IFCHR:
      return plan_device(d, file);
    case S_IFIFO:
      return plan_pipe(d, file);
    case S_IFSOCK:
      return plan_socket(d, file, peer);
    case S_IFBLK:
      return Refusal{fmt::format("holds a block device, {} ({})", d.name(), d.link)};
    default:
      return plan_anonymous(d, file);
  }
}

static std::optional<Descriptor> look_at(pid_t pid, int fd, bool of_root) {
  Descriptor d{pid, fd, of_root, {}, {}, {}};
  const auto link = try_read_link(fmt::format("/proc/{}/fd/{}", pid, fd));
  const auto info = try_read_text(fmt::format("/proc/{}/fdinfo/{}", pid, fd));
  if (!link || !info || ::stat(fmt::format("/proc/{}/fd/{}", pid, fd).c_str(), &d.info) != 0) return std::nullopt;
  d.link = *link;
  d.detail = parse_fdinfo(*info);
  return d;
}

static bool same_description(const Descriptor& a, const Descriptor& b) {
  return ((a.detail.flags ^ b.detail.flags) & ~O_CLOEXEC) == 0 &&
         ::syscall(SYS_kcmp, a.process, b.process, KCMP_FILE, a.fd, b.fd) == 0;
}

namespace {

class FilePlanner {
 public:
  FilePlanner(const DumpOptions& options, TreeObjects& objects) : options_(options), objects_(objects) {}

  std::optional<Refusal> add_process(pid_t pid) {
    FilesState& table = plan_.tables.emplace_back();
    table.process = pid;
    std::vector<int> fds;
    try {
      fds = list_numbers(proc_path(pid, "fd"));
    } catch (const SystemError&) {
      if (plan_.tables.size() == 1) throw;  // of those that are not stopped any but the root may end meanwhile
    }
    for (const int fd : fds) {
      const auto d = look_at(pid, fd, plan_.tables.size() == 1);
      if (!d) continue;  // closed since it was listed
      std::uint32_t index = 0;
      const std::size_t known = first_.size();
      if (auto refusal = find_or_add(*d, index)) return refusal;
      if (auto refusal = add_locks(*d, index == known, table)) return refusal;
      table.descriptors.push_back({fd, (d->detail.flags & O_CLOEXEC) != 0, index});
    }
    return std::nullopt;
  }

  // `all`: zombies too.
  Or<FilePlan> finish(std::span<const pid_t> living, std::span<const pid_t> all) {
    std::vector<std::string> names;
    for (const Descriptor& d : first_) names.push_back(fmt::format("{} ({})", d.name(), d.link));
    if (auto refusal = find_pipe_to_outside(plan_, names)) return *refusal;
    for (const auto& [inode, socket] : sockets_) {
      if (socket.peer == 0) continue;
      const auto peer = sockets_.find(socket.peer);
      if (peer == sockets_.end() || peer->second.peer != inode)
        return Refusal{fmt::format("holds a unix socket that leads outside, {}", names[socket.index])};
      plan_.state.files[socket.index].socket->peer = static_cast<std::int32_t>(peer->second.index);
    }
    for (std::size_t i = 0; i < first_.size(); ++i) {
      if (plan_.state.files[i].kind == FileKind::Epoll && plan_.state.files[i].watcher == 0)
        return Refusal{fmt::format("watches a file that it has closed, epoll {}", names[i])};
    }
    if (auto refusal = find_targets(living, all, names)) return *refusal;
    return std::move(plan_);
  }

 private:
  std::optional<Refusal> find_targets(std::span<const pid_t> living, std::span<const pid_t> all,
                                      const std::vector<std::string>& names) {
    std::optional<std::set<std::string>> paths;
    for (std::size_t i = 0; i < first_.size(); ++i) {
      OpenFileState& file = plan_.state.files[i];
      if (file.kind == FileKind::Pidfd &&
          std::find(all.begin(), all.end(), static_cast<pid_t>(file.counter)) == all.end())
        return Refusal{
            fmt::format("holds a pidfd of process {}, which is not in the tree, {}", file.counter, names[i])};
      if (file.kind != FileKind::Inotify) continue;
      if (!paths) paths = likely_paths(living);
      if (auto refusal = find_watched_paths(first_[i].detail.watches, *paths, names[i], file.watches)) return refusal;
    }
    return std::nullopt;
  }

  // The kernel shows a process's own locks with each of its descriptors of that file, and with descriptions that others
  // have of it the locks of those, too.
  std::optional<Refusal> add_locks(const Descriptor& d, bool first, FilesState& table) {
    for (const FileLock& lock : d.detail.locks) {
      if (!options_.locks) return Refusal{fmt::format("holds a lock on {}, {}", d.link, d.name())};
      if (lock.kind != LockKind::Posix) {
        const auto kind = lock.kind == LockKind::Flock ? HeldLockKind::Flock : HeldLockKind::OpenFile;
        if (first) table.locks.push_back({kind, d.fd, lock.write, lock.start, lock.length});
        continue;
      }
      if (lock.owner != d.process) continue;
      const int mode = d.detail.flags & O_ACCMODE;
      if (mode != O_RDWR && mode != (lock.write ? O_WRONLY : O_RDONLY)) continue;
      const std::tuple key(d.process, d.info.st_dev, d.info.st_ino, lock.start, lock.length);
      if (posix_locks_.insert(key).second)
        table.locks.push_back({HeldLockKind::Posix, d.fd, lock.write, lock.start, lock.length});
    }
    return std::nullopt;
  }

  std::optional<Refusal> find_or_add(const Descriptor& d, std::uint32_t& index) {
    const std::pair key(d.info.st_dev, d.info.st_ino);
    auto& known = by_inode_[key];
    for (const std::uint32_t candidate : known) {
      if (!same_description(first_[candidate], d)) continue;
      OpenFileState& file = plan_.state.files[candidate];
      if (file.kind == FileKind::Epoll && file.watcher == 0) find_watched(d, file);
      index = candidate;
      return std::nullopt;
    }
    OpenFileState file;
    ino_t peer = 0;
    if (auto refusal = plan_one(d, options_, file, peer)) return refusal;
    if (file.kind == FileKind::UnixSocket) sockets_[d.info.st_ino] = {static_cast<std::uint32_t>(first_.size()), peer};
    if (file.kind == FileKind::Nameless || file.kind == FileKind::Pipe) {
      file.object = objects_.number_of(key, describe_object(d));
      TreeObjects::Source& source = objects_.sources[file.object];
      if (source.fd < 0) source.process = d.process, source.fd = d.fd;
    }
    index = static_cast<std::uint32_t>(first_.size());
    known.push_back(index);
    first_.push_back(d);
    plan_.state.files.push_back(std::move(file));
    plan_.places.push_back({d.process, d.fd});
    return std::nullopt;
  }

  const DumpOptions& options_;
  FilePlan plan_;
  std::vector<Descriptor> first_;  // of each open file
  std::map<std::pair<dev_t, ino_t>, std::vector<std::uint32_t>> by_inode_;
  TreeObjects& objects_;
  struct Socket {
    std::uint32_t index;
    ino_t peer;  // inode, 0: none
  };
  std::map<ino_t, Socket> sockets_;
  std::set<std::tuple<pid_t, dev_t, ino_t, std::int64_t, std::int64_t>> posix_locks_;
};

}  // namespace

std::optional<Refusal> copy_queues(FilePlan& plan) {
  for (std::size_t i = 0; i < plan.state.files.size(); ++i) {
    OpenFileState& file = plan.state.files[i];
    const auto& [process, fd] = plan.places[i];
    int unread = 0;
    if (file.kind == FileKind::Inotify && ::ioctl(borrow(process, fd).get(), FIONREAD, &unread) == 0 && unread != 0)
      return Refusal{fmt::format("has events of inotify that it has not read, fd {} of process {}", fd, process)};
    if (file.kind != FileKind::UnixSocket) continue;
    if (auto refusal = copy_queue(borrow(process, fd), fmt::format("fd {} of process {}", fd, process), *file.socket))
      return refusal;
  }
  return std::nullopt;
}

Or<FilePlan> plan_files(std::span<const pid_t> processes, std::span<const pid_t> zombies, const DumpOptions& options,
                        TreeObjects& objects) {
  FilePlanner planner(options, objects);
  for (const pid_t pid : processes) {
    if (auto refusal = planner.add_process(pid)) return *refusal;
  }
  std::vector<pid_t> all(processes.begin(), processes.end());
  all.insert(all.end(), zombies.begin(), zombies.end());
  return planner.finish(processes, all);
}

}  // namespace drover
