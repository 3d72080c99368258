// Locks on files: flock (shared with a child), POSIX (read and write, parts of a file, of several processes), OFD.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include "tracee.h"

// Who would be in the way of a write lock there? 0: nobody, -1: an open file description.
static int holder(int fd, off_t start, off_t length, short *type) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  CHECK(fcntl(fd, F_GETLK, &lock) == 0);
  *type = lock.l_type;
  return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

static void lock(int fd, int command, short type, off_t start, off_t length) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  CHECK(fcntl(fd, command, &lock) == 0);
}

int main(void) {
  char flocked[] = "/tmp/drover-tracee-XXXXXX", posix[] = "/tmp/drover-tracee-XXXXXX", ofd[] = "/tmp/drover-tracee-XXXXXX";
  int whole = mkstemp(flocked), parts = mkstemp(posix), description = mkstemp(ofd), again = open(posix, O_RDONLY);
  CHECK(flock(whole, LOCK_EX) == 0);
  lock(parts, F_SETLK, F_WRLCK, 100, 50);
  lock(again, F_SETLK, F_RDLCK, 1000, 0);
  lock(description, F_OFD_SETLK, F_RDLCK, 5, 5);
  int to_child[2], from_child[2];
  CHECK(pipe(to_child) == 0 && pipe(from_child) == 0);
  pid_t child = fork();
  if (child == 0) {
    char byte = 'x';
    short type;
    int fd = open(posix, O_RDWR);
    lock(fd, F_SETLK, F_WRLCK, 300, 1);
    if (write(from_child[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1) _exit(1);
    CHECK(holder(fd, 100, 50, &type) == getppid() && type == F_WRLCK && holder(fd, 150, 100, &type) == 0);
    CHECK(holder(fd, 5000, 1, &type) == getppid() && type == F_RDLCK);
    if (write(from_child[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1) _exit(1);
    // The last descriptor of the flock'ed description goes with us.
    _exit(failures);
  }
  char byte;
  CHECK(read(from_child[0], &byte, 1) == 1);

  ready_and_wait();

  short type;
  CHECK(holder(parts, 300, 1, &type) == child && type == F_WRLCK && holder(parts, 301, 10, &type) == 0);
  int other = open(flocked, O_RDWR), third = open(ofd, O_RDWR);
  CHECK(flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
  CHECK(holder(third, 0, 0, &type) == -1 && type == F_RDLCK && holder(third, 0, 5, &type) == 0);
  CHECK(write(to_child[1], "x", 1) == 1 && read(from_child[0], &byte, 1) == 1);
  close(whole);
  CHECK(flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);  // the child has it still
  CHECK(write(to_child[1], "x", 1) == 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(flock(other, LOCK_EX | LOCK_NB) == 0);
  unlink(flocked), unlink(posix), unlink(ofd);
  return done();
}
