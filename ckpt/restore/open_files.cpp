// The descriptor tables. All open files have come with the process, parked above the program's own numbers; they are
// duplicated to the descriptors that the program had.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include "ckpt/restore/held_process.h"

namespace drover {

static constexpr std::size_t kEntryRoom = 1024;

// Below the parked descriptors nothing is open yet, so that pidfd_open() returns 0. Processes that shared a description
// have one each: all that they could share of it are its flags.
static void open_pidfds(HeldProcess& held, const OpenFilesState& files) {
  Batch batch = held.batch();
  for (const DescriptorState& d : held.image.files.descriptors) {
    const OpenFileState& file = files.files[d.open_file];
    if (file.kind != FileKind::Pidfd || file.counter == 0) continue;
    held.make_room(batch, kEntryRoom);
    batch.must(fmt::format("pidfd_open {}", file.counter), SYS_pidfd_open, file.counter, file.flags & O_NONBLOCK);
    batch.must("dup3 pidfd", SYS_dup3, 0, held.parked_fd + static_cast<int>(d.open_file), 0);
    batch.must("close", SYS_close, 0);
  }
  held.run(batch);
}

// The same of a file of a process's folder in /proc: that is there by now.
static void open_process_files(HeldProcess& held, const OpenFilesState& files) {
  constexpr int kNotAgain = O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC;
  Batch batch = held.batch();
  for (const DescriptorState& d : held.image.files.descriptors) {
    const OpenFileState& file = files.files[d.open_file];
    if (file.kind != FileKind::OfProcess) continue;
    held.make_room(batch, kEntryRoom + file.file.path.size());
    batch.must("open " + file.file.path, SYS_open, batch.push_string(file.file.path), file.flags & ~kNotAgain);
    batch.must("dup3 of " + file.file.path, SYS_dup3, 0, held.parked_fd + static_cast<int>(d.open_file), 0);
    batch.must("close", SYS_close, 0);
  }
  held.run(batch);
}

// While its descriptor is there.
void enter_gone_directory(HeldProcess& held) {
  if (held.image.process.cwd_object < 0) return;
  Batch batch = held.batch();
  batch.must("fchdir " + held.image.process.cwd, SYS_fchdir, held.objects_fd + held.image.process.cwd_object);
  held.run(batch);
}

void set_descriptors(HeldProcess& held, const OpenFilesState& files) {
  open_pidfds(held, files);
  open_process_files(held, files);
  Batch batch = held.batch();
  for (const DescriptorState& d : held.image.files.descriptors) {
    held.make_room(batch, kEntryRoom);
    batch.must(fmt::format("dup3 to fd {}", d.fd), SYS_dup3, held.parked_fd + static_cast<int>(d.open_file), d.fd,
               d.close_on_exec ? O_CLOEXEC : 0);
  }
  held.make_room(batch, kEntryRoom);
  batch.must("close_range", SYS_close_range, held.parked_fd, ~0U, 0);
  held.run(batch);
}

// The kernel writes down what comes after the position when that is set (seq_lseek()): all must be as it was by then.
void seek_process_files(HeldProcess& held, const OpenFilesState& files) {
  Batch batch = held.batch();
  for (const DescriptorState& d : held.image.files.descriptors) {
    const OpenFileState& file = files.files[d.open_file];
    if (file.kind != FileKind::OfProcess || file.position == 0) continue;
    held.make_room(batch, kEntryRoom);
    batch.must("lseek in " + file.file.path, SYS_lseek, d.fd, file.position, SEEK_SET);
  }
  held.run(batch);
}

void take_locks(HeldProcess& held) {
  Batch batch = held.batch();
  for (const HeldLockState& lock : held.image.files.locks) {
    held.make_room(batch, kEntryRoom);
    const std::string what = fmt::format("take the lock of fd {} in process {}", lock.fd, held.pid);
    if (lock.kind == HeldLockKind::Flock) {
      batch.must(what, SYS_flock, lock.fd, (lock.write ? LOCK_EX : LOCK_SH) | LOCK_NB);
      continue;
    }
    struct flock wanted {};
    wanted.l_type = lock.write ? F_WRLCK : F_RDLCK;
    wanted.l_whence = SEEK_SET;
    wanted.l_start = lock.start;
    wanted.l_len = lock.length;
    batch.must(what, SYS_fcntl, lock.fd, lock.kind == HeldLockKind::Posix ? F_SETLK : F_OFD_SETLK,
               batch.push_value(wanted));
  }
  held.run(batch);
}

// When everything that can be watched is in its place.
void watch_files(HeldProcess& held, const OpenFilesState& files) {
  Batch batch = held.batch();
  std::vector<bool> done(files.files.size());
  for (const DescriptorState& d : held.image.files.descriptors) {
    const OpenFileState& file = files.files[d.open_file];
    if (file.watcher != held.pid || done[d.open_file]) continue;
    done[d.open_file] = true;
    for (const EpollEntry& entry : file.watched) {
      held.make_room(batch, kEntryRoom);
      epoll_event event{};
      event.events = entry.events;
      event.data.u64 = entry.data;
      batch.must(fmt::format("epoll_ctl fd {}", entry.fd), SYS_epoll_ctl, d.fd, EPOLL_CTL_ADD, entry.fd,
                 batch.push_value(event));
    }
  }
  held.run(batch);
}

}  // namespace drover
