// The descriptor table. Every open file is opened once, parked above the program's own numbers, and then duplicated to
// all descriptors that shared it.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <set>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"

namespace drover {

static constexpr std::size_t kEntryRoom = 8192;
// What open(2) shall do again; O_CREAT, O_EXCL, O_TRUNC and O_NOCTTY are never kept by the kernel, and must not be
// here.
static constexpr int kOpenFlags = ~(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC);
static constexpr int kStatusFlags = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;

namespace {

class FileOpener {
 public:
  FileOpener(HeldProcess& held, const RestoreOptions& options, const ImageModel& model)
      : held_(held),
        options_(options),
        model_(model),
        batch_(held.batch()),
        first_(held.parked_fd + held.inherited_fds) {}

  void open_all() {
    const FilesState& files = held_.image.files;
    for (std::size_t i = 0; i < files.open_files.size(); ++i) {
      held_.make_room(batch_, kEntryRoom);
      open_one(files.open_files[i], first_ + static_cast<int>(i));
    }
    for (const DescriptorState& d : files.descriptors) {
      held_.make_room(batch_, kEntryRoom);
      batch_.must(fmt::format("dup3 to fd {}", d.fd), SYS_dup3, first_ + static_cast<int>(d.open_file), d.fd,
                  d.close_on_exec ? O_CLOEXEC : 0);
    }
    for (std::size_t i = 0; i < files.open_files.size(); ++i) watch(files.open_files[i], first_ + static_cast<int>(i));
    held_.make_room(batch_, kEntryRoom);
    batch_.must("close_range", SYS_close_range, held_.parked_fd, ~0U, 0);
    held_.run(batch_);
  }

 private:
  void open_one(const OpenFileState& file, int place) {
    if (file.kind == FileKind::External) return open_external(file, place);
    if (add_special(file)) return park("special file", place);
    if (file.kind == FileKind::Pipe) return open_pipe(file, place);
    if (file.kind == FileKind::Unlinked)
      open_path(fmt::format("/proc/self/fd/{}", nameless_fd(file.object, false)), file, place);
    else
      open_path(file.file.path, file, place);
    const bool has_position =
        file.kind == FileKind::Regular || file.kind == FileKind::Unlinked || file.kind == FileKind::Directory;
    if (has_position && file.position != 0 && (file.flags & O_PATH) == 0)
      batch_.must("lseek " + file.file.path, SYS_lseek, place, file.position, SEEK_SET);
  }

  // Below the parked descriptors nothing is open yet, so that open() returns 0.
  void open_path(const std::string& path, const OpenFileState& file, int place) {
    batch_.must("open " + path, SYS_openat, AT_FDCWD, batch_.push_string(path), file.flags & kOpenFlags, 0);
    park(path, place);
  }

  void park(const std::string& name, int place) {
    batch_.must("dup3 " + name, SYS_dup3, 0, place, 0);
    batch_.must("close " + name, SYS_close, 0);
  }

  // Files that a call of their own makes.
  bool add_special(const OpenFileState& file) {
    const int nonblock = file.flags & O_NONBLOCK;  // EFD_, TFD_ and SFD_NONBLOCK are the same bit
    switch (file.kind) {
      case FileKind::EventFd:
        batch_.must("eventfd", SYS_eventfd2, file.counter, nonblock | (file.semaphore ? EFD_SEMAPHORE : 0));
        return true;
      case FileKind::TimerFd:
        batch_.must("timerfd_create", SYS_timerfd_create, file.clock_id, nonblock);
        return true;
      case FileKind::SignalFd:
        batch_.must("signalfd4", SYS_signalfd4, -1, batch_.push_value(file.counter), 8, nonblock);
        return true;
      case FileKind::Epoll:
        batch_.must("epoll_create1", SYS_epoll_create1, 0);
        return true;
      default:
        return false;
    }
  }

  // When everything that can be watched is in its place.
  void watch(const OpenFileState& file, int place) {
    for (const EpollEntry& entry : file.watched) {
      held_.make_room(batch_, kEntryRoom);
      epoll_event event{};
      event.events = entry.events;
      event.data.u64 = entry.data;
      batch_.must(fmt::format("epoll_ctl fd {}", entry.fd), SYS_epoll_ctl, place, EPOLL_CTL_ADD, entry.fd,
                  batch_.push_value(event));
    }
  }

  // The first description of a key is the restorer's own; further ones of the same pipe, and its other end, are opened
  // through /proc (which pipes allow and sockets do not).
  void open_external(const OpenFileState& file, int place) {
    const auto found = options_.external.find(file.key);
    const int inherited = held_.parked_fd + static_cast<int>(std::distance(options_.external.begin(), found));
    const int flags = check(::fcntl(found->second, F_GETFL), "F_GETFL", file.key);
    const bool same_end = ((flags ^ file.flags) & O_ACCMODE) == 0;
    if (!same_end || !used_.insert(file.key).second)
      return open_path(fmt::format("/proc/self/fd/{}", inherited), file, place);
    batch_.must("dup3 " + file.key, SYS_dup3, inherited, place, 0);
    if (((flags ^ file.flags) & kStatusFlags) != 0)
      batch_.must("F_SETFL " + file.key, SYS_fcntl, place, F_SETFL, file.flags & kStatusFlags);
  }

  // The first description of each end is the one that pipe() made: one opened through /proc has O_LARGEFILE besides.
  void open_pipe(const OpenFileState& file, int place) {
    const bool write_end = (file.flags & O_ACCMODE) == O_WRONLY;
    const int inherited = nameless_fd(file.object, write_end);
    const bool first = (file.flags & O_ACCMODE) != O_RDWR && used_.insert(std::to_string(inherited)).second;
    if (!first) return open_path(fmt::format("/proc/self/fd/{}", inherited), file, place);
    batch_.must("dup3 pipe", SYS_dup3, inherited, place, 0);
    batch_.must("F_SETFL pipe", SYS_fcntl, place, F_SETFL, file.flags & kStatusFlags);
  }

  int nameless_fd(std::uint64_t object, bool write_end) const {
    const auto found = model_.nameless.find({object, write_end});
    return held_.parked_fd + static_cast<int>(options_.external.size()) +
           static_cast<int>(std::distance(model_.nameless.begin(), found));
  }

  HeldProcess& held_;
  const RestoreOptions& options_;
  const ImageModel& model_;
  Batch batch_;
  int first_;
  std::set<std::string> used_;
};

}  // namespace

void open_files(HeldProcess& held, const RestoreOptions& options, const ImageModel& model) {
  FileOpener(held, options, model).open_all();
}

}  // namespace drover
