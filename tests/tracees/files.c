// Descriptors: positions, flags, shared descriptions, unlinked files, directories, pipes with data, devices.
#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "tracee.h"

int main(void) {
  char path[] = "/tmp/drover-tracee-XXXXXX", gone[] = "/tmp/drover-tracee-XXXXXX";
  int fd = mkstemp(path);
  CHECK(write(fd, "0123456789", 10) == 10 && lseek(fd, 4, SEEK_SET) == 4);
  int twin = dup(fd), apart = open(path, O_WRONLY | O_APPEND | O_CLOEXEC), high = fcntl(fd, F_DUPFD_CLOEXEC, 200);
  int place = open(path, O_PATH);
  int secret = mkstemp(gone);
  CHECK(write(secret, "unlinked content", 16) == 16 && lseek(secret, 9, SEEK_SET) == 9);
  unlink(gone);
  // As sqlite3 opens its temporary files; a watch of their folder sees nothing of a move.
  char folder[] = "/tmp/drover-tracee-XXXXXX", nameless[64];
  CHECK(mkdtemp(folder) != NULL && snprintf(nameless, sizeof nameless, "%s/file", folder) > 0);
  int unlinked = open(nameless, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  CHECK(write(unlinked, "of sqlite3", 10) == 10 && unlink(nameless) == 0 && (fcntl(unlinked, F_GETFL) & O_NOFOLLOW));
  int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  CHECK(inotify_add_watch(watch, folder, IN_CREATE | IN_DELETE | IN_MOVE) == 1);
  int null = open("/dev/null", O_RDWR), random = open("/dev/urandom", O_RDONLY);
  int ends[2], dir = open("/usr", O_RDONLY | O_DIRECTORY);
  CHECK(pipe2(ends, O_NONBLOCK) == 0 && fcntl(ends[0], F_SETPIPE_SZ, 1 << 17) == 1 << 17);
  char block[10000];
  memset(block, 'x', sizeof block);
  for (int i = 0; i < 5; ++i) CHECK(write(ends[1], block, sizeof block) == sizeof block);

  // A named pipe of ours, with data; the writer does not wait, the reader does.
  char fifo[] = "/tmp/drover-tracee-XXXXXX";
  CHECK(mkdtemp(fifo) != NULL && rmdir(fifo) == 0 && mkfifo(fifo, 0600) == 0);
  int fifo_read = open(fifo, O_RDONLY | O_NONBLOCK), fifo_write = open(fifo, O_WRONLY | O_NONBLOCK);
  CHECK(fcntl(fifo_read, F_SETFL, 0) == 0 && write(fifo_write, "in the fifo", 11) == 11);

  int own = open("/proc/self/ns/uts", O_RDONLY);
  // Packets stay apart.
  int packets[2];
  CHECK(pipe2(packets, O_DIRECT | O_NONBLOCK) == 0);
  CHECK(write(packets[1], "one", 3) == 3 && write(packets[1], "two", 3) == 3 && write(packets[1], "three", 5) == 5);
  CHECK(read(packets[0], block, 2) == 2);  // the rest of a packet is thrown away

  ready_and_wait();

  struct stat there, here;
  CHECK(fstat(own, &there) == 0 && stat("/proc/self/ns/uts", &here) == 0 && there.st_ino == here.st_ino);
  CHECK(read(packets[0], block, sizeof block) == 3 && memcmp(block, "two", 3) == 0);
  CHECK(read(packets[0], block, sizeof block) == 5 && memcmp(block, "three", 5) == 0);
  CHECK((fcntl(packets[1], F_GETFL) & O_DIRECT) && !(fcntl(packets[0], F_GETFL) & O_DIRECT));

  memset(block, 0, 12);
  CHECK(read(fifo_read, block, sizeof block) == 11 && strcmp(block, "in the fifo") == 0);
  CHECK((fcntl(fifo_write, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == (O_NONBLOCK | O_WRONLY));
  CHECK((fcntl(fifo_read, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == O_RDONLY);
  CHECK(close(fifo_write) == 0 && read(fifo_read, block, 1) == 0 && unlink(fifo) == 0);

  char text[64] = {0};
  CHECK(read(fd, text, 2) == 2 && memcmp(text, "45", 2) == 0);
  CHECK(lseek(twin, 0, SEEK_CUR) == 6 && lseek(high, 0, SEEK_CUR) == 6 && lseek(apart, 0, SEEK_CUR) == 0);
  CHECK((fcntl(high, F_GETFD) & FD_CLOEXEC) && !(fcntl(twin, F_GETFD) & FD_CLOEXEC));
  CHECK((fcntl(apart, F_GETFD) & FD_CLOEXEC) &&
        (fcntl(apart, F_GETFL) & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY));
  CHECK(write(apart, "tail", 4) == 4);
  CHECK(pread(fd, text, 14, 0) == 14 && memcmp(text, "0123456789tail", 14) == 0);
  CHECK(fcntl(place, F_GETFL) & O_PATH);
  memset(text, 0, sizeof text);
  CHECK(read(secret, text, 20) == 7 && strcmp(text, "content") == 0);
  CHECK(lseek(unlinked, 0, SEEK_CUR) == 10 && pread(unlinked, text, 20, 0) == 10 &&
        memcmp(text, "of sqlite3", 10) == 0);
  CHECK((fcntl(unlinked, F_GETFL) & (O_NOFOLLOW | O_ACCMODE)) == (O_NOFOLLOW | O_RDWR));
  CHECK(read(watch, block, sizeof block) < 0 && errno == EAGAIN && rmdir(folder) == 0);
  CHECK(write(null, "x", 1) == 1 && read(random, text, 4) == 4);
  struct stat info;
  CHECK(fstat(dir, &info) == 0 && S_ISDIR(info.st_mode));
  CHECK(fcntl(ends[0], F_GETPIPE_SZ) == 1 << 17);
  size_t total = 0;
  for (ssize_t n; (n = read(ends[0], block, sizeof block)) > 0;) total += (size_t)n;
  CHECK(total == 50000 && errno == EAGAIN);
  unlink(path);
  return done();
}
