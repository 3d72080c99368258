#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <set>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/fdinfo.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// On these, and on everything unknown, another node may not see what was written here before fsync: NFS shows the old
// size. On a local file system whoever can open the file sees it at once, and fsync would only wait for the disk; on
// the kernel's own it fails (EINVAL).
static bool needs_flush(const std::string& path) {
  struct statfs fs {};
  if (::statfs(path.c_str(), &fs) != 0) return true;
  constexpr long kXfs = 0x58465342;
  for (const long local :
       {long{EXT4_SUPER_MAGIC}, long{TMPFS_MAGIC}, kXfs, long{BTRFS_SUPER_MAGIC}, long{OVERLAYFS_SUPER_MAGIC},
        long{RAMFS_MAGIC}, long{PROC_SUPER_MAGIC}, long{SYSFS_MAGIC}, long{CGROUP2_SUPER_MAGIC}}) {
    if (fs.f_type == local) return false;
  }
  return true;
}

static void flush_file(const std::string& path) {
  if (!needs_flush(path)) return;
  const UniqueFd fd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path));
  check(::fsync(fd.get()), "fsync", path);
}

void flush_files(std::span<const MemoryState* const> memories, const OpenFilesState& files) {
  std::set<std::string> written;
  for (const MemoryState* memory : memories) {
    for (const FileIdentity& file : memory->files) {
      if (file.written) written.insert(file.path);
    }
  }
  for (const OpenFileState& file : files.files) {
    if (file.kind == FileKind::Regular && file.file.written) written.insert(file.file.path);
  }
  for (const std::string& path : written) flush_file(path);
}

// A periodic timer that has expired stands still until somebody asks: timerfd_gettime() makes the kernel count the
// periods that have gone by and start it again, which the program can't tell from having asked a little later itself.
// What is left and how often it expired must then be of one moment, so both come from fdinfo; 0 left may mean that it
// expired just now, or is about to.
static FdInfo settled_timerfd(const FrozenProcess& process, InjectedArea& injected, int fd) {
  constexpr int kAttempts = 3;  // a disarmed timer has 0 left every time
  FdInfo info;
  for (int attempt = 0; attempt < kAttempts && info.timer_value_ns == 0; ++attempt) {
    Batch batch = injected.area().main_batch();
    batch.must("timerfd_gettime", SYS_timerfd_gettime, fd, batch.space(sizeof(itimerspec)));
    injected.leader().run(injected.area(), batch);
    info = parse_fdinfo(read_text(proc_path(process.pid, fmt::format("fdinfo/{}", fd))));
  }
  return info;
}

// Whether an eventfd is a semaphore fdinfo tells since Linux 6.5; before, only read(2) does: of a semaphore it takes 1,
// of another all, where there are at least 2. What was there is there again at the end of the batch, which our death
// does not cut short.
static bool is_semaphore(const FrozenProcess& process, InjectedArea& injected, int fd, std::uint64_t count) {
  Batch batch = injected.area().main_batch();
  const auto first = batch.space(sizeof count), second = batch.space(sizeof count);
  const auto read_to = [&](std::uint64_t at) {
    const std::uint64_t to[] = {at, sizeof count};
    batch.may(SYS_preadv2, fd, batch.push_value(to), 1, -1, -1, RWF_NOWAIT);
  };
  const auto write = [&](std::uint64_t at) { batch.may(SYS_write, fd, at, sizeof count); };
  if (count >= 2) {
    read_to(first);
    write(first);
  } else {  // 2, and after the second reading 0 whatever it is
    write(batch.push_value(2 - count));
    read_to(first);
    read_to(second);
    write(batch.push_value(count));
  }
  injected.leader().run(injected.area(), batch);
  return process.memory.load<std::uint64_t>(first) == 1;
}

void find_semaphores(const FrozenProcess& process, InjectedArea& injected, FilePlan& plan) {
  if (kernel_features().eventfd_semaphore) return;
  for (std::size_t i = 0; i < plan.state.files.size(); ++i) {
    OpenFileState& file = plan.state.files[i];
    if (file.kind == FileKind::EventFd && plan.places[i].process == process.pid)
      file.semaphore = is_semaphore(process, injected, plan.places[i].fd, file.counter);
  }
}

void measure_timerfds(const FrozenProcess& process, InjectedArea& injected, std::int64_t frozen_at_ns, FilePlan& plan) {
  for (std::size_t i = 0; i < plan.state.files.size(); ++i) {
    OpenFileState& file = plan.state.files[i];
    if (file.kind != FileKind::TimerFd || plan.places[i].process != process.pid) continue;
    const FdInfo info = settled_timerfd(process, injected, plan.places[i].fd);
    file.counter = info.timer_ticks;
    file.value_ns = info.timer_value_ns;
    if (file.value_ns != 0) file.value_ns += clock_ns(CLOCK_MONOTONIC) - frozen_at_ns;
  }
}

}  // namespace drover
