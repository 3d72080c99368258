// Files without names: unlinked and mapped (with a descriptor, without one, by two processes), memfds with seals and holes.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "tracee.h"

enum { kPage = 4096, kPages = 8 };

static int unlinked(void) {
  char path[] = "/tmp/drover-tracee-XXXXXX";
  int fd = mkstemp(path);
  CHECK(fchmod(fd, 0640) == 0 && unlink(path) == 0 && ftruncate(fd, kPages * kPage) == 0);
  return fd;
}

static char *map(int fd, int flags) { return mmap(NULL, kPages * kPage, PROT_READ | PROT_WRITE, flags, fd, 0); }

int main(void) {
  // Open and mapped: what is written through one is seen through the other.
  int both = unlinked();
  char *of_both = map(both, MAP_SHARED);
  strcpy(of_both + kPage, "through memory");
  CHECK(pwrite(both, "through the file", 17, 2 * kPage) == 17);
  // Mapped only; shared with a child.
  int fd = unlinked();
  char *alone = map(fd, MAP_SHARED);
  close(fd);
  strcpy(alone + 3 * kPage, "nobody has it open");
  // Mapped privately: one page is ours, one the file's.
  fd = unlinked();
  CHECK(pwrite(fd, "the file's", 11, 0) == 11 && pwrite(fd, "the file's", 11, kPage) == 11);
  char *own = map(fd, MAP_PRIVATE);
  close(fd);
  strcpy(own, "our own");
  int memory = memfd_create("a name", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  CHECK(ftruncate(memory, 1 << 30) == 0 && pwrite(memory, "far away", 9, (1 << 30) - 100) == 9);
  CHECK(lseek(memory, 77, SEEK_SET) == 77);
  int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
  CHECK(write(sealed, "for ever", 9) == 9);
  const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  CHECK(fcntl(sealed, F_ADD_SEALS, seals) == 0);
  int to_child[2], from_child[2];
  CHECK(pipe(to_child) == 0 && pipe(from_child) == 0);
  pid_t child = fork();
  if (child == 0) {
    char byte;
    if (read(to_child[0], &byte, 1) != 1) _exit(1);
    int fine = strcmp(alone + 3 * kPage, "nobody has it open") == 0 && strcmp(of_both + kPage, "through memory") == 0 &&
               strcmp(own, "our own") == 0 && strcmp(own + kPage, "the file's") == 0;
    strcpy(alone, "from the child");
    strcpy(own + kPage, "the child's");
    if (write(from_child[1], "x", 1) != 1) _exit(1);
    _exit(fine ? 0 : 2);
  }
  close(from_child[1]);

  ready_and_wait();

  char text[32] = {0}, byte;
  CHECK(strcmp(of_both + kPage, "through memory") == 0 && strcmp(of_both + 2 * kPage, "through the file") == 0);
  strcpy(of_both, "still one");
  CHECK(pread(both, text, 10, 0) == 10 && strcmp(text, "still one") == 0);
  struct stat info;
  CHECK(fstat(both, &info) == 0 && info.st_size == kPages * kPage && (info.st_mode & 07777) == 0640 && info.st_nlink == 0);
  CHECK(write(to_child[1], "x", 1) == 1 && read(from_child[0], &byte, 1) == 1);
  CHECK(strcmp(alone, "from the child") == 0 && strcmp(alone + 3 * kPage, "nobody has it open") == 0);
  CHECK(strcmp(own, "our own") == 0 && strcmp(own + kPage, "the file's") == 0);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(fstat(memory, &info) == 0 && info.st_size == 1 << 30 && info.st_blocks <= 16);
  CHECK(lseek(memory, 0, SEEK_CUR) == 77 && pread(memory, text, 9, (1 << 30) - 100) == 9 && strcmp(text, "far away") == 0);
  CHECK(fcntl(memory, F_GET_SEALS) == 0 && (fcntl(memory, F_GETFD) & FD_CLOEXEC));
  CHECK(fcntl(sealed, F_GET_SEALS) == seals && write(sealed, "x", 1) < 0 && pread(sealed, text, 9, 0) == 9);
  return done();
}
