#include "ckpt/dump/plan_descriptor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>
#include <bit>

#include "ckpt/dump/obstacles.h"
#include "ckpt/dump/plan_terminals.h"
#include "ckpt/dump/process_file.h"
#include "ckpt/dump/sockets.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/text.h"

namespace drover {

std::string Descriptor::name() const {
  if (!through.empty()) return "on its way through " + through;
  return of_root ? fmt::format("fd {}", fd) : fmt::format("fd {} of process {}", fd, process);
}

static FileIdentity identity_of(const std::string& path, const struct stat& info, int flags) {
  const std::int64_t mtime = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
  return {path, info.st_mode, static_cast<std::uint64_t>(info.st_size), mtime, (flags & O_ACCMODE) != O_RDONLY};
}

static bool is_memfd(const Descriptor& d) { return d.link.compare(0, 7, "/memfd:") == 0; }

static bool is_fifo(const Descriptor& d) { return S_ISFIFO(d.info.st_mode) && d.link.compare(0, 5, "pipe:") != 0; }

static bool same_inode(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static std::optional<Refusal> plan_nameless(const Descriptor& d) {
  if (static_cast<std::uint64_t>(d.info.st_size) > kMaxCarriedBytes && !is_memfd(d))
    return Refusal{
        fmt::format("holds a file of {} MiB that can only travel itself, {}", d.info.st_size >> 20, d.name())};
  return std::nullopt;
}

// hugetlbfs has its pages for blocks (hugetlbfs_statfs()).
static std::uint32_t huge_shift_of(const Descriptor& d) {
  struct statfs fs {};
  const bool known = ::statfs(proc_path(d.process, fmt::format("fd/{}", d.fd)).c_str(), &fs) == 0;
  if (!known || fs.f_type != HUGETLBFS_MAGIC) return 0;
  return static_cast<std::uint32_t>(std::countr_zero(static_cast<std::uint64_t>(fs.f_bsize)));
}

FileObject describe_object(const Descriptor& d) {
  FileObject object;
  object.mode = d.info.st_mode;
  const std::string path = without_deleted(d.link).value_or(d.link);
  if (S_ISFIFO(d.info.st_mode)) {
    object.kind = ObjectKind::Pipe;
    if (is_fifo(d)) object.path = d.link;
    return object;
  }
  object.size = static_cast<std::uint64_t>(d.info.st_size);
  object.huge_shift = huge_shift_of(d);
  if (is_memfd(d)) {
    object.kind = ObjectKind::Memfd;
    object.path = path.substr(std::string_view("/memfd:").size());
  } else {
    object.path = path.substr(0, std::max<std::size_t>(1, path.rfind('/')));
  }
  return object;
}

// "uts:[4026531838]": the process's own namespace is where it will be again, others are not (namespaces(7)).
static std::optional<std::string> path_of_namespace(const Descriptor& d) {
  const std::string kind = d.link.substr(0, d.link.find(':'));
  if (kind == "time" || kind.find('/') != std::string::npos) return std::nullopt;
  if (try_read_link(proc_path(d.process, "ns/" + kind)) != d.link) return std::nullopt;
  return "/proc/self/ns/" + kind;
}

// Each is a file of the IPC namespace's own file system (mq_overview(7)).
static bool is_message_queue(const Descriptor& d) {
  constexpr long kMqueueMagic = 0x19800202;
  struct statfs fs {};
  return ::statfs(proc_path(d.process, fmt::format("fd/{}", d.fd)).c_str(), &fs) == 0 && fs.f_type == kMqueueMagic;
}

static std::optional<Refusal> plan_regular(const Descriptor& d, const DumpOptions& options, OpenFileState& file) {
  if (is_message_queue(d)) return Refusal{fmt::format("holds a POSIX message queue, {} ({})", d.name(), d.link)};
  file.file = identity_of(d.link, d.info, d.detail.flags);
  if (d.info.st_nlink == 0) {
    file.kind = FileKind::Nameless;
    return plan_nameless(d);
  }
  file.kind = FileKind::Regular;
  if (const auto path = path_of_namespace(d)) {
    file.file.path = *path;
    return std::nullopt;
  }
  struct stat now {};
  if (::stat(d.link.c_str(), &now) != 0 || !same_inode(now, d.info))
    return Refusal{fmt::format("holds {}, which has been moved or replaced, {}", d.link, d.name())};
  if (!is_carried(options, d.link) || file.file.written) return std::nullopt;
  file.kind = FileKind::Nameless;
  return plan_nameless(d);
}

static std::optional<Refusal> plan_directory(const Descriptor& d, OpenFileState& file) {
  struct stat now {};
  if (::stat(d.link.c_str(), &now) != 0 || !same_inode(now, d.info)) {
    file.kind = FileKind::Nameless;  // what of is left to the caller
    return std::nullopt;
  }
  file.kind = FileKind::Directory;
  file.file = identity_of(d.link, d.info, O_RDONLY);
  return std::nullopt;
}

static std::optional<Refusal> plan_device(const Descriptor& d, OpenFileState& file) {
  const unsigned major = major(d.info.st_rdev), minor = minor(d.info.st_rdev);
  // Documentation/admin-guide/devices.txt: 1 is memory (null 3, zero 5, full 7, random 8, urandom 9).
  const bool harmless = major == 1 && (minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9);
  if (TerminalPlanner::is_terminal(d)) {
    file.kind = FileKind::Terminal;  // which one, and which side of it, TerminalPlanner finds out
    return std::nullopt;
  }
  if (major == 4 || major == 5) return Refusal{fmt::format("holds a terminal, {} ({})", d.name(), d.link)};
  if (!harmless) return Refusal{fmt::format("holds a device, {} ({})", d.name(), d.link)};
  file.kind = FileKind::Device;
  file.file = identity_of(d.link, d.info, O_RDONLY);
  return std::nullopt;
}

// A pipe travels when the tree holds both of its ends; whoever else may hold one is outside of the job.
static std::optional<Refusal> plan_pipe(const Descriptor& d, OpenFileState& file) {
  struct stat now {};
  if (is_fifo(d) && (::stat(d.link.c_str(), &now) != 0 || !same_inode(now, d.info)))
    return Refusal{fmt::format("holds a named pipe that is gone, {} ({})", d.name(), d.link)};
  file.kind = FileKind::Pipe;
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
bool find_watched(const Descriptor& d, OpenFileState& file) {
  file.watcher = d.process;
  file.watched.clear();
  for (const EpollTarget& target : d.detail.epoll_targets) {
    struct stat info {};
    const std::string path = proc_path(d.process, fmt::format("fd/{}", target.fd));
    if (::stat(path.c_str(), &info) != 0 || info.st_ino != target.inode) {
      file.watcher = 0;
      return false;
    }
    file.watched.push_back({target.fd, target.events, target.data});
  }
  return true;
}

static std::optional<Refusal> plan_anonymous(const Descriptor& d, OpenFileState& file) {
  // The batch of a dumper that was killed may be about to close a userfaultfd (dump/huge_pages.cpp).
  static constexpr struct {
    std::string_view link, name;
    bool passing;
  } kRefused[] = {{"[io_uring]", "an io_uring", false},
                  {"[userfaultfd]", "a userfaultfd", true},
                  {"[perf_event]", "a performance counter", false}};
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
  for (const auto& [link, name, passing] : kRefused) {
    if (d.link.find(link) != std::string::npos) return Refusal{fmt::format("holds {}, {}", name, d.name()), passing};
  }
  return Refusal{fmt::format("holds {}, {}", d.link, d.name())};
}

// What belongs to the processes that have it is set when they are there; nobody has what is only on its way.
static std::optional<Refusal> find_in_flight_obstacle(const Descriptor& d, const OpenFileState& file) {
  const bool bound_to_process = file.kind == FileKind::Epoll || file.kind == FileKind::OfProcess ||
                                (file.kind == FileKind::Pidfd && file.counter != 0) ||
                                (file.kind == FileKind::TimerFd && file.value_ns != 0) || !d.detail.locks.empty();
  if (file.kind == FileKind::EventFd && !kernel_features().eventfd_semaphore)
    return Refusal{fmt::format("has an eventfd {}, of which Linux before 6.5 does not tell all", d.name())};
  if (!bound_to_process) return std::nullopt;
  return Refusal{fmt::format("has a timer, an epoll, a pidfd, a process's file or a lock {} ({})", d.name(), d.link)};
}

static std::optional<Refusal> plan_file_of_process(const Descriptor& d, pid_t process, OpenFileState& file) {
  file.kind = FileKind::OfProcess;
  file.counter = static_cast<std::uint64_t>(process);
  file.file = identity_of(d.link, d.info, d.detail.flags);
  return find_process_file_obstacle(d, process);
}

static std::optional<Refusal> plan_pidfd(const Descriptor& d, OpenFileState& file) {
  constexpr int kOfThread = O_EXCL;  // PIDFD_THREAD
  constexpr pid_t kGone = -1;        // 0: in none of our namespaces (pidfd_show_fdinfo())
  file.kind = FileKind::Pidfd;
  if (*d.detail.pidfd_target == kGone) return std::nullopt;
  if (*d.detail.pidfd_target <= 0) return Refusal{fmt::format("holds a pidfd of a process outside, {}", d.name())};
  if ((d.detail.flags & kOfThread) != 0) return Refusal{fmt::format("holds a pidfd of a thread, {}", d.name())};
  file.counter = static_cast<std::uint64_t>(*d.detail.pidfd_target);
  return std::nullopt;
}

static std::optional<Refusal> plan_by_kind(const Descriptor& d, const DumpOptions& options, OpenFileState& file,
                                           UnixSocketInfo& info) {
  if (const auto process = process_of_file(d)) return plan_file_of_process(d, *process, file);
  switch (d.info.st_mode & S_IFMT) {
    case S_IFREG:
      return plan_regular(d, options, file);
    case S_IFDIR:
      return plan_directory(d, file);
    case S_IFCHR:
      return plan_device(d, file);
    case S_IFIFO:
      return plan_pipe(d, file);
    case S_IFSOCK:
      file.kind = FileKind::Socket;
      return plan_socket(borrow(d.process, d.fd), d.info.st_ino, d.name(), options, file.socket.emplace(), info);
    case S_IFBLK:
      return Refusal{fmt::format("holds a block device, {} ({})", d.name(), d.link)};
    default:
      return plan_anonymous(d, file);
  }
}

std::optional<Refusal> plan_descriptor(const Descriptor& d, const DumpOptions& options, OpenFileState& file,
                                       UnixSocketInfo& info) {
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
  auto refusal = d.detail.pidfd_target ? plan_pidfd(d, file) : plan_by_kind(d, options, file, info);
  if (!refusal && !d.through.empty()) refusal = find_in_flight_obstacle(d, file);
  return refusal;
}

std::optional<Descriptor> look_at_descriptor(pid_t pid, int fd, bool of_root) {
  Descriptor d{pid, fd, of_root, {}, {}, {}, {}};
  const auto link = try_read_link(proc_path(pid, fmt::format("fd/{}", fd)));
  const auto info = try_read_text(proc_path(pid, fmt::format("fdinfo/{}", fd)));
  if (!link || !info || ::stat(proc_path(pid, fmt::format("fd/{}", fd)).c_str(), &d.info) != 0) return std::nullopt;
  d.link = *link;
  d.detail = parse_fdinfo(*info);
  return d;
}

}  // namespace drover
