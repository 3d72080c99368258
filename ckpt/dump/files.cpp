#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <set>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/fdinfo.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// On these, and on everything unknown, another node may not see what was written here before fsync: NFS shows the old
// size. On a local file system whoever can open the file sees it at once, and fsync would only wait for the disk.
static bool needs_flush(const std::string& path) {
  struct statfs fs {};
  if (::statfs(path.c_str(), &fs) != 0) return true;
  constexpr long kXfs = 0x58465342;
  for (const long local : {long{EXT4_SUPER_MAGIC}, long{TMPFS_MAGIC}, kXfs, long{BTRFS_SUPER_MAGIC},
                           long{OVERLAYFS_SUPER_MAGIC}, long{RAMFS_MAGIC}}) {
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

// A descriptor without a name can still be opened anew through /proc, whatever mode the program has it in.
static UniqueFd reopen(const FilePlan::Place& place) {
  const std::string path = fmt::format("/proc/{}/fd/{}", place.process, place.fd);
  return UniqueFd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path));
}

static void write_unlinked_file(int fd, std::uint64_t object, ImageWriter& writer) {
  FileDataState piece{object, 0, {}};
  for (;;) {
    piece.bytes.resize(kMaxPayloadBytes / 2);
    const auto n = check(::pread(fd, piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(piece.offset)), "read",
                         "unlinked file");
    if (n == 0) return;
    piece.bytes.resize(static_cast<std::size_t>(n));
    writer.add(RecordType::FileData, piece);
    piece.offset += piece.bytes.size();
  }
}

// tee(2) gives what lies in the pipe without taking it out.
static void write_pipe(int fd, const OpenFileState& file, ImageWriter& writer) {
  int copy[2];
  check(::pipe2(copy, O_CLOEXEC | O_NONBLOCK), "pipe");
  const UniqueFd copy_read(copy[0]), copy_write(copy[1]);
  check(::fcntl(copy[0], F_SETPIPE_SZ, static_cast<int>(file.counter)), "F_SETPIPE_SZ");
  if (::tee(fd, copy[1], file.counter, SPLICE_F_NONBLOCK) < 0 && errno != EAGAIN)
    throw SystemError("tee", "pipe", errno);
  FileDataState piece{file.object, 0, {}};
  for (;;) {
    piece.bytes.resize(kMaxPayloadBytes / 2);
    const ssize_t n = ::read(copy[0], piece.bytes.data(), piece.bytes.size());
    if (n <= 0) return;
    piece.bytes.resize(static_cast<std::size_t>(n));
    writer.add(RecordType::FileData, piece);
    piece.offset += piece.bytes.size();
  }
}

void measure_pipes(FilePlan& plan) {
  for (std::size_t i = 0; i < plan.state.files.size(); ++i) {
    OpenFileState& file = plan.state.files[i];
    if (file.kind != FileKind::Pipe) continue;
    const UniqueFd fd = reopen(plan.places[i]);
    file.counter = static_cast<std::uint64_t>(check(::fcntl(fd.get(), F_GETPIPE_SZ), "F_GETPIPE_SZ"));
  }
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
    info = parse_fdinfo(read_text(fmt::format("/proc/{}/fdinfo/{}", process.pid, fd)));
  }
  return info;
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

void write_nameless_files(const FilePlan& plan, ImageWriter& writer) {
  std::set<std::uint64_t> done;
  for (std::size_t i = 0; i < plan.state.files.size(); ++i) {
    const OpenFileState& file = plan.state.files[i];
    const bool nameless = file.kind == FileKind::Unlinked || file.kind == FileKind::Pipe;
    if (!nameless || !done.insert(file.object).second) continue;
    const UniqueFd fd = reopen(plan.places[i]);
    if (file.kind == FileKind::Pipe)
      write_pipe(fd.get(), file, writer);
    else
      write_unlinked_file(fd.get(), file.object, writer);
  }
}

}  // namespace drover
