#include "ckpt/restore/file_table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "ckpt/image/error.h"
#include "ckpt/restore/gone_pidfd.h"
#include "ckpt/restore/huge_pages.h"
#include "ckpt/restore/inet_sockets.h"
#include "ckpt/restore/unix_sockets.h"
#include "ckpt/sys/error.h"

namespace drover {

// What open(2) shall do again; O_CREAT, O_EXCL, O_TRUNC and O_NOCTTY are never kept by the kernel, and must not be
// here.
static constexpr int kOpenFlags = ~(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC);
static constexpr int kStatusFlags = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;

static UniqueFd open_path(const std::string& path, int flags) {
  return UniqueFd(check(::open(path.c_str(), (flags & kOpenFlags) | O_CLOEXEC | O_NOCTTY), "open", path));
}

static UniqueFd open_again(int fd, int flags) { return open_path(fmt::format("/proc/self/fd/{}", fd), flags); }

static bool is_tmpfile(int flags) { return (flags & O_TMPFILE) == O_TMPFILE; }

// O_NOFOLLOW, which sqlite3 and shm_open(3) use, shows in F_GETFL, but nothing can be opened with it through
// /proc/self/fd: a file without a name has one for the moment. A memfd and a folder can have none, and do without the
// flag, which means nothing to an open file.
static UniqueFd open_nameless(int fd, int flags, const FileObject& object) {
  constexpr int kMostNames = 100;
  if (object.kind == ObjectKind::Tmpfs && (flags & O_NOFOLLOW) != 0) return open_path(object.path, flags);
  const auto own = fmt::format("/proc/self/fd/{}", fd);
  for (int i = 0; (flags & O_NOFOLLOW) != 0 && i < kMostNames; ++i) {
    const std::string name = fmt::format("{}/.drover-{}.{}", object.path, ::getpid(), i);
    if (::linkat(AT_FDCWD, own.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      UniqueFd again(::open(name.c_str(), (flags & kOpenFlags) | O_CLOEXEC));
      const int error = errno;
      ::unlink(name.c_str());
      if (!again) throw SystemError("open", name, error);
      return again;
    }
    if (errno != EEXIST) break;
  }
  return open_again(fd, flags & ~(is_tmpfile(flags) ? O_NOFOLLOW | O_TMPFILE : O_NOFOLLOW));
}

static void set_size_and_mode(int fd, const FileObject& object) {
  check(::ftruncate(fd, static_cast<off_t>(object.size)), "ftruncate", object.path);
  check(::fchmod(fd, object.mode & 07777), "fchmod", object.path);
}

// O_TMPFILE stays among the flags of the description that made the file.
static int flags_of_tmpfile(const OpenFilesState& files, std::uint32_t object) {
  for (const OpenFileState& file : files.files) {
    if (file.kind == FileKind::Nameless && file.object == object && is_tmpfile(file.flags)) return file.flags;
  }
  return 0;
}

// A file without a name, made anew in the folder where the old one was; in memory if there can be none (a library that
// an upgrade has replaced lies where only root may write).
UniqueFd FileTable::make_unlinked(const FileObject& object, std::uint32_t number, int tmpfile_flags) {
  const int flags = tmpfile_flags != 0 ? tmpfile_flags & kOpenFlags : O_TMPFILE | O_RDWR;
  UniqueFd fd(::open(object.path.c_str(), flags | O_CLOEXEC, 0600));
  if (fd && huge_shift_of(fd.get()) != object.huge_shift) fd.reset();
  if (fd && tmpfile_flags != 0) {
    tmpfiles_[number] = std::move(fd);
    fd = open_again(tmpfiles_[number].get(), O_RDWR);
  }
  const unsigned memfd = MFD_CLOEXEC | memfd_flags(object.huge_shift);
  if (!fd) fd.reset(check(::memfd_create("unlinked", memfd), "make an unlinked file in", object.path));
  set_size_and_mode(fd.get(), object);
  return fd;
}

static UniqueFd make_memfd(const FileObject& object) {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | memfd_flags(object.huge_shift);
  UniqueFd fd(check(::memfd_create(object.path.c_str(), flags), "memfd_create", object.path));
  set_size_and_mode(fd.get(), object);
  return fd;
}

// What is written to a pipe in packet mode is not joined.
static bool takes_packets(const OpenFilesState& files, std::uint32_t number) {
  return std::any_of(files.files.begin(), files.files.end(), [number](const OpenFileState& file) {
    return file.kind == FileKind::Pipe && file.object == number && (file.flags & O_ACCMODE) != O_RDONLY &&
           (file.flags & O_DIRECT) != 0;
  });
}

void FileTable::make_pipe(const OpenFilesState& files, std::uint32_t number) {
  const FileObject& object = files.objects[number];
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC | O_NONBLOCK | (takes_packets(files, number) ? O_DIRECT : 0)), "pipe");
  read_ends_[number].reset(ends[0]);
  objects_.emplace_back(ends[1]);
  check(::fcntl(ends[0], F_SETPIPE_SZ, static_cast<int>(object.size)), "F_SETPIPE_SZ");
}

// Open both ways it neither waits for another nor lets what is in it go. On the host where the old tree still holds it,
// it is the same one.
void FileTable::make_fifo(const OpenFilesState& files, std::uint32_t number) {
  const FileObject& object = files.objects[number];
  UniqueFd fd(check(::open(object.path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC), "open", object.path));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISFIFO(info.st_mode))
    throw SystemError("open named pipe", object.path, EINVAL);
  int unread = 0;
  if (::ioctl(fd.get(), FIONREAD, &unread) == 0 && unread > 0) filled_.insert(number);
  check(::fcntl(fd.get(), F_SETPIPE_SZ, static_cast<int>(object.size)), "F_SETPIPE_SZ", object.path);
  if (takes_packets(files, number)) check(::fcntl(fd.get(), F_SETFL, O_NONBLOCK | O_DIRECT), "F_SETFL", object.path);
  read_ends_[number].reset(check(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0), "dup", object.path));
  objects_.push_back(std::move(fd));
}

// Made in its folder, and removed again at once. Its own name may be another one's by now.
UniqueFd FileTable::make_gone_directory(const FileObject& object) {
  constexpr int kMostNames = 100;
  std::string path = object.path;
  for (int i = 1; ::mkdir(path.c_str(), 0700) != 0; ++i) {
    if (errno != EEXIST || i > kMostNames) {
      refusal_ = Refusal{fmt::format("{} can't be made here: {}", object.path, error_text(errno))};
      return {};
    }
    path = fmt::format("{}.{}", object.path, i);
  }
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const int error = errno;
  ::rmdir(path.c_str());
  if (!fd) throw SystemError("open", path, error);
  if (::geteuid() == 0) check(::fchown(fd.get(), object.uid, object.gid), "chown", path);
  check(::fchmod(fd.get(), object.mode & 07777), "chmod", path);
  return fd;
}

// What is found here is not filled again.
UniqueFd FileTable::make_tmpfs_file(const FileObject& object, std::uint32_t number, bool same_boot) {
  UniqueFd fd = tmpfs_.place(object, same_boot);
  if (fd) return fd;
  filled_.insert(number);
  return UniqueFd(::open(object.path.c_str(), O_PATH | O_CLOEXEC));
}

UniqueFd FileTable::make_file(const OpenFilesState& files, std::uint32_t number, bool same_boot) {
  const FileObject& object = files.objects[number];
  switch (object.kind) {
    case ObjectKind::Memfd:
      return make_memfd(object);
    case ObjectKind::Tmpfs:
      return make_tmpfs_file(object, number, same_boot);
    case ObjectKind::GoneDirectory:
      return make_gone_directory(object);
    case ObjectKind::Unlinked:
    case ObjectKind::Pipe:
      break;
  }
  return make_unlinked(object, number, flags_of_tmpfile(files, number));
}

// Without any it need not be sealable: F_SEAL_SEAL is what a memfd has that was made so.
void FileTable::add_seals(std::size_t number, const FileObject& object) {
  if (object.kind == ObjectKind::Memfd && object.seals != 0)
    check(::fcntl(objects_[number].get(), F_ADD_SEALS, static_cast<int>(object.seals)), "F_ADD_SEALS", object.path);
}

void FileTable::finish_objects(const OpenFilesState& files) {
  for (std::size_t i = 0; i < files.objects.size(); ++i) {
    const FileObject& object = files.objects[i];
    // Sealing takes a writable descriptor, and running a program that there is none.
    if (object.program) add_seals(i, object);
    if (object.program) objects_[i] = open_again(objects_[i].get(), O_RDONLY);
    if (object.kind == ObjectKind::Tmpfs) objects_[i].reset(::open(object.path.c_str(), O_PATH | O_CLOEXEC));
  }
  tmpfs_.finish();
}

void FileTable::close() {
  objects_.clear();
  descriptions_.clear();
  read_ends_.clear();
  terminals_.clear();
  tmpfiles_.clear();
}

void FileTable::make_objects(const OpenFilesState& files, bool same_boot) {
  for (std::uint32_t i = 0; i < files.objects.size(); ++i) {
    const FileObject& object = files.objects[i];
    if (object.kind == ObjectKind::Pipe && !object.path.empty())
      make_fifo(files, i);
    else if (object.kind == ObjectKind::Pipe)
      make_pipe(files, i);
    else
      objects_.push_back(make_file(files, i, same_boot));
  }
}

void FileTable::add_content(const OpenFilesState& files, const FileDataState& piece) {
  if (piece.object >= objects_.size()) throw ImageError("damaged image: content of an unknown file");
  if (filled_.count(piece.object) != 0) return;
  const int fd = objects_[piece.object].get();
  if (const FileObject& object = files.objects[piece.object]; object.huge_shift != 0) {
    if (auto refusal = write_huge_pages(fd, object, piece)) {
      refusal_ = std::move(refusal);
      filled_.insert(piece.object);
    }
    return;
  }
  const bool pipe = read_ends_.count(piece.object) != 0;
  const ssize_t n = pipe ? ::write(fd, piece.bytes.data(), piece.bytes.size())
                         : ::pwrite(fd, piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(piece.offset));
  if (check(n, "write content of a file") != static_cast<ssize_t>(piece.bytes.size()))
    throw ImageError("damaged image: more in a pipe than fits");
}

void FileTable::seal(const OpenFilesState& files) {
  for (std::size_t i = 0; i < files.objects.size(); ++i) {
    if (!files.objects[i].program) add_seals(i, files.objects[i]);
  }
}

// Watch descriptors count up from 1, those of removed watches too.
static UniqueFd make_inotify(const OpenFileState& file) {
  UniqueFd fd(check(::inotify_init1((file.flags & O_NONBLOCK) | IN_CLOEXEC), "inotify_init1"));
  auto watches = file.watches;
  std::sort(watches.begin(), watches.end(),
            [](const WatchState& a, const WatchState& b) { return a.descriptor < b.descriptor; });
  for (const WatchState& watch : watches) {
    constexpr std::uint32_t kOnlyTold = IN_IGNORED | IN_UNMOUNT | IN_Q_OVERFLOW;
    const std::uint32_t mask = watch.mask & ~kOnlyTold;
    int descriptor = 0;
    while ((descriptor = check(::inotify_add_watch(fd.get(), watch.path.c_str(), mask), "inotify_add_watch",
                               watch.path)) < watch.descriptor)
      check(::inotify_rm_watch(fd.get(), descriptor), "inotify_rm_watch", watch.path);
    if (descriptor != watch.descriptor) throw SystemError("watch again", watch.path, EEXIST);
  }
  // Each removal has left a remark.
  std::array<std::byte, 4096> remarks;
  for (int unread = 0; ::ioctl(fd.get(), FIONREAD, &unread) == 0 && unread > 0;) {
    if (::read(fd.get(), remarks.data(), remarks.size()) <= 0) break;
  }
  return fd;
}

void FileTable::make_terminals(const OpenFilesState& files) {
  for (std::size_t i = 0; i < files.terminals.size(); ++i) {
    const auto master = std::find_if(files.files.begin(), files.files.end(), [i](const OpenFileState& file) {
      return file.kind == FileKind::TerminalMaster && file.object == i;
    });
    terminals_.push_back(
        make_terminal(files.terminals[i], master != files.files.end() ? master->file.path : "/dev/ptmx"));
  }
}

void FileTable::settle_terminals(const OpenFilesState& files) {
  for (std::size_t i = 0; i < files.terminals.size(); ++i) {
    if (!files.terminals[i].hung_up)
      settle_terminal(files.terminals[i], terminals_[i].master.get(), terminals_[i].slave.get());
  }
}

UniqueFd FileTable::take_terminal(const OpenFilesState& files) {
  for (std::size_t i = 0; i < files.terminals.size(); ++i) {
    if (files.terminals[i].given) return std::move(terminals_[i].master);
  }
  return {};
}

void FileTable::open_all(const OpenFilesState& files, const RestoreOptions& options, SocketNames& names) {
  make_terminals(files);
  descriptions_.resize(files.files.size());
  const auto open = [&](std::size_t i) {
    const OpenFileState& file = files.files[i];
    descriptions_[i] = open_one(file, files, options);
    const bool has_position =
        file.kind == FileKind::Regular || file.kind == FileKind::Nameless || file.kind == FileKind::Directory;
    if (has_position && file.position != 0 && (file.flags & O_PATH) == 0)
      check(::lseek(descriptions_[i].get(), file.position, SEEK_SET), "lseek", file.file.path);
  };
  // Those without a name first: an inotify of the tree shall not see them have one.
  for (std::size_t i = 0; i < files.files.size(); ++i)
    if (files.files[i].kind == FileKind::Nameless) open(i);
  for (std::size_t i = 0; i < files.files.size(); ++i)
    if (files.files[i].kind != FileKind::Nameless && files.files[i].kind != FileKind::Socket) open(i);
  for (std::size_t i = 0; i < files.terminals.size(); ++i) {
    if (files.terminals[i].hung_up) terminals_[i].master.reset();
  }
  // Sockets after all others, which may be on their way through them.
  make_inet_sockets(files, descriptions_);
  UnixSockets(files, descriptions_, names).make();
}

UniqueFd FileTable::open_one(const OpenFileState& file, const OpenFilesState& files, const RestoreOptions& options) {
  const int nonblock = file.flags & O_NONBLOCK;
  switch (file.kind) {
    case FileKind::External:
      return open_external(file, options);
    case FileKind::Pipe:
      return open_pipe(file, files.objects[file.object]);
    case FileKind::Nameless:
      if (const auto made = tmpfiles_.find(file.object); made != tmpfiles_.end() && is_tmpfile(file.flags))
        return std::move(made->second);
      return open_nameless(objects_.at(file.object).get(), file.flags, files.objects[file.object]);
    case FileKind::EventFd:
      return UniqueFd(check(
          ::eventfd(static_cast<unsigned>(file.counter), nonblock | EFD_CLOEXEC | (file.semaphore ? EFD_SEMAPHORE : 0)),
          "eventfd"));
    case FileKind::TimerFd:
      return UniqueFd(check(::timerfd_create(file.clock_id, nonblock | TFD_CLOEXEC), "timerfd_create"));
    case FileKind::SignalFd:
      return UniqueFd(check(
          static_cast<int>(::syscall(SYS_signalfd4, -1, &file.counter, sizeof file.counter, nonblock | SFD_CLOEXEC)),
          "signalfd"));
    case FileKind::Epoll:
      return UniqueFd(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    case FileKind::Inotify:
      return make_inotify(file);
    case FileKind::TerminalMaster:
      return open_terminal_master(file);
    case FileKind::Terminal:
      return open_slave(terminals_.at(file.object), file.flags);
    case FileKind::Pidfd:
      if (file.counter == 0) return make_gone_pidfd(file);
      [[fallthrough]];
    case FileKind::OfProcess:
    case FileKind::ControllingTerminal:  // keep the place until there are processes
      return open_path("/dev/null", O_RDONLY);
    case FileKind::Socket:
    case FileKind::Regular:
    case FileKind::Directory:
    case FileKind::Device:
      break;
  }
  return open_path(file.file.path, file.flags);
}

// A master has one description: every open of /dev/ptmx makes a terminal.
UniqueFd FileTable::open_terminal_master(const OpenFileState& file) {
  UniqueFd fd(check(::fcntl(terminals_.at(file.object).master.get(), F_DUPFD_CLOEXEC, 0), "dup", "terminal"));
  check(::fcntl(fd.get(), F_SETFL, file.flags & kStatusFlags), "F_SETFL", "terminal");
  return fd;
}

// The first description of a key is the restorer's own; further ones of the same pipe, and its other end, are opened
// through /proc (which pipes allow and sockets do not).
UniqueFd FileTable::open_external(const OpenFileState& file, const RestoreOptions& options) {
  const int own = options.external.at(file.key);
  const int flags = check(::fcntl(own, F_GETFL), "F_GETFL", file.key);
  const bool same_end = ((flags ^ file.flags) & O_ACCMODE) == 0;
  if (!same_end || !keys_.insert(file.key).second) return open_again(own, file.flags);
  UniqueFd fd(check(::fcntl(own, F_DUPFD_CLOEXEC, 0), "dup", file.key));
  if (((flags ^ file.flags) & kStatusFlags) != 0)
    check(::fcntl(fd.get(), F_SETFL, file.flags & kStatusFlags), "F_SETFL", file.key);
  return fd;
}

// The first description of each end is the one that pipe() made: one opened through /proc has O_LARGEFILE besides.
UniqueFd FileTable::open_pipe(const OpenFileState& file, const FileObject& object) {
  if (!object.path.empty()) {
    UniqueFd fd = open_path(object.path, file.flags | O_NONBLOCK);
    check(::fcntl(fd.get(), F_SETFL, file.flags & kStatusFlags), "F_SETFL", object.path);
    return fd;
  }
  const bool write_end = (file.flags & O_ACCMODE) == O_WRONLY;
  const int end = write_end ? objects_.at(file.object).get() : read_ends_.at(file.object).get();
  if ((file.flags & O_ACCMODE) == O_RDWR || !used_.insert(end).second) return open_again(end, file.flags);
  UniqueFd fd(check(::fcntl(end, F_DUPFD_CLOEXEC, 0), "dup", "pipe"));
  check(::fcntl(end, F_SETFL, file.flags & kStatusFlags), "F_SETFL", "pipe");
  return fd;
}

}  // namespace drover
