// Which files the processes of a tree have open, which of them are the same, and whether all can be opened again
// elsewhere.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <tuple>

#include "ckpt/dump/connections.h"
#include "ckpt/dump/obstacles.h"
#include "ckpt/dump/plan_descriptor.h"
#include "ckpt/dump/plan_terminals.h"
#include "ckpt/dump/sockets.h"
#include "ckpt/dump/tmpfs_files.h"
#include "ckpt/dump/watches.h"
#include "ckpt/sys/tasks.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

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

static bool same_description(const Descriptor& a, const Descriptor& b) {
  return ((a.detail.flags ^ b.detail.flags) & ~O_CLOEXEC) == 0 &&
         ::syscall(SYS_kcmp, task_of(a.process), task_of(b.process), KCMP_FILE, a.fd, b.fd) == 0;
}

namespace {

class FilePlanner {
 public:
  FilePlanner(const DumpOptions& options, TreeObjects& objects, bool frozen)
      : options_(options), objects_(objects), sockets_{{}, false, frozen} {}

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
      const auto d = look_at_descriptor(pid, fd, plan_.tables.size() == 1);
      if (!d) continue;  // closed since it was listed
      std::uint32_t index = 0;
      const std::size_t known = first_.size();
      if (auto refusal = find_or_add(*d, index)) return refusal;
      if (auto refusal = add_locks(*d, index == known, table)) return refusal;
      table.descriptors.push_back({fd, (d->detail.flags & O_CLOEXEC) != 0, index});
      sockets_.unknown_rights |= !sockets_.frozen && d->detail.rights_in_flight != 0;
    }
    return std::nullopt;
  }

  // What lies in queues, and in the queues of what is found there, and so on.
  std::optional<Refusal> look_into_queues() {
    for (std::uint32_t i = 0; i < first_.size(); ++i) {
      int unread = 0;
      const OpenFileState& file = plan_.state.files[i];
      const Descriptor& d = first_[i];
      if (file.kind == FileKind::Inotify && ::ioctl(borrow(d.process, d.fd).get(), FIONREAD, &unread) == 0 &&
          unread != 0)
        return Refusal{"has events of inotify that it has not read, " + d.name(), true};
      if (!file.socket) continue;
      if (auto refusal = look_into_queue(i)) return refusal;
    }
    return std::nullopt;
  }

  // The descriptors of `pid` are those of `holder`.
  void know_sharer(pid_t pid, pid_t holder) { holders_[pid] = holder; }
  void add_nothing(pid_t pid) { plan_.tables.emplace_back().process = pid; }

  // `all`: zombies too.
  Or<FilePlan> finish(std::span<const pid_t> living, std::span<const pid_t> all) {
    std::vector<std::string> names;
    for (const Descriptor& d : first_) names.push_back(fmt::format("{} ({})", d.name(), d.link));
    if (!sockets_.unknown_rights) {
      if (auto refusal = find_pipe_to_outside(plan_, names)) return *refusal;
    }
    if (auto refusal = connect_sockets(sockets_, living, names, options_, plan_)) return *refusal;
    for (std::size_t i = 0; i < first_.size(); ++i) {
      if (plan_.state.files[i].kind == FileKind::Epoll && plan_.state.files[i].watcher == 0)
        return Refusal{fmt::format("watches a file that it has closed, epoll {}", names[i])};
    }
    if (auto refusal = find_targets(living, all, names)) return *refusal;
    if (auto refusal = terminals_.finish(living, options_, names, plan_)) return *refusal;
    return std::move(plan_);
  }

 private:
  std::optional<Refusal> look_into_queue(std::uint32_t index) {
    const std::string name = first_[index].name();
    SocketState socket = *plan_.state.files[index].socket;
    std::vector<std::vector<UniqueFd>> rights;
    if (auto refusal = copy_queue(borrow(first_[index].process, first_[index].fd), name, socket, rights))
      return refusal;
    for (std::size_t i = 0; i < rights.size(); ++i) {
      for (UniqueFd& fd : rights[i]) {
        if (auto refusal = add_in_flight(std::move(fd), "a unix socket, " + name, socket.queue[i])) return refusal;
      }
    }
    plan_.state.files[index].socket = std::move(socket);
    return std::nullopt;
  }

  std::optional<Refusal> add_in_flight(UniqueFd fd, const std::string& through, SocketMessage& message) {
    auto d = look_at_descriptor(::getpid(), fd.get(), false);
    if (!d) throw SystemError("look at what is on its way through", through, ENOENT);
    d->through = through;
    const std::size_t known = first_.size();
    std::uint32_t index = 0;
    if (auto refusal = find_or_add(*d, index)) return refusal;
    message.descriptors.push_back(index);
    if (index == known) plan_.in_flight.push_back(std::move(fd));
    return std::nullopt;
  }

  std::optional<Refusal> find_targets(std::span<const pid_t> living, std::span<const pid_t> all,
                                      const std::vector<std::string>& names) {
    std::optional<std::set<std::string>> paths;
    for (std::size_t i = 0; i < first_.size(); ++i) {
      OpenFileState& file = plan_.state.files[i];
      if (file.kind == FileKind::Pidfd && file.counter != 0 &&
          std::find(all.begin(), all.end(), static_cast<pid_t>(file.counter)) == all.end())
        return Refusal{
            fmt::format("holds a pidfd of process {}, which is not in the tree, {}", file.counter, names[i])};
      if (file.kind == FileKind::OfProcess) {
        if (auto refusal = find_process(file, all, names[i])) return refusal;
      }
      if (file.kind != FileKind::Inotify) continue;
      if (!paths) paths = likely_paths(living);
      if (auto refusal = find_watched_paths(first_[i].detail.watches, *paths, names[i], file.watches)) return refusal;
    }
    return std::nullopt;
  }

  // Before the tree is frozen `all` may be numbers of another PID namespace than that of its /proc.
  std::optional<Refusal> find_process(OpenFileState& file, std::span<const pid_t> all, const std::string& name) const {
    constexpr pid_t kInit = 1;  // is wherever the tree will be
    const auto process = static_cast<pid_t>(file.counter);
    if (!sockets_.frozen || std::find(all.begin(), all.end(), process) != all.end()) return std::nullopt;
    if (process != kInit)
      return Refusal{fmt::format("holds {}, of a process that is not in the tree, {}", file.file.path, name), true};
    file.kind = S_ISDIR(file.file.mode) ? FileKind::Directory : FileKind::Regular;
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
      const auto holder = holders_.find(lock.owner);
      if ((holder != holders_.end() ? holder->second : lock.owner) != d.process) continue;
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
    UnixSocketInfo info;
    if (auto refusal = plan_descriptor(d, options_, file, info)) return refusal;
    if (file.kind == FileKind::Terminal) {
      if (auto refusal = terminals_.add(d, file)) return refusal;
    }
    if (file.socket && file.socket->domain == AF_UNIX)
      sockets_.sockets[d.info.st_ino] = {static_cast<std::uint32_t>(first_.size()), std::move(info)};
    const bool written = (d.detail.flags & O_ACCMODE) != O_RDONLY;
    if (file.kind == FileKind::Regular) {
      if (auto refusal = plan_tmpfs_file(d.link, d.info, written, d.name(), objects_)) return refusal;
    }
    if (file.kind == FileKind::Nameless && S_ISDIR(d.info.st_mode)) {
      std::optional<std::uint32_t> object;
      if (auto refusal = plan_gone_directory(d.link, d.info, "directory of " + d.name(), objects_, object))
        return refusal;
      file.object = object.value_or(0);
    } else if (file.kind == FileKind::Nameless || file.kind == FileKind::Pipe) {
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
  std::map<pid_t, pid_t> holders_;  // who has a process's descriptors, if not itself
  FilePlan plan_;
  std::vector<Descriptor> first_;  // of each open file
  std::map<std::pair<dev_t, ino_t>, std::vector<std::uint32_t>> by_inode_;
  TreeObjects& objects_;
  TerminalPlanner terminals_;
  SocketPlan sockets_;
  std::set<std::tuple<pid_t, dev_t, ino_t, std::int64_t, std::int64_t>> posix_locks_;
};

}  // namespace

Or<FilePlan> plan_files(std::span<const pid_t> processes, std::span<const pid_t> zombies, const DumpOptions& options,
                        TreeObjects& objects, bool frozen, std::span<const SharedState> sharing) {
  FilePlanner planner(options, objects, frozen);
  const auto holder = [&](std::size_t i) { return i < sharing.size() ? sharing[i].files : 0; };
  for (std::size_t i = 0; i < processes.size(); ++i) {
    if (holder(i) != 0) planner.know_sharer(processes[i], holder(i));
  }
  for (std::size_t i = 0; i < processes.size(); ++i) {
    if (holder(i) != 0)
      planner.add_nothing(processes[i]);
    else if (auto refusal = planner.add_process(processes[i]))
      return *refusal;
  }
  if (frozen) {
    if (auto refusal = planner.look_into_queues()) return *refusal;
  }
  std::vector<pid_t> all(processes.begin(), processes.end());
  all.insert(all.end(), zombies.begin(), zombies.end());
  return planner.finish(processes, all);
}

}  // namespace drover
