// Files in memory with a name: of shm_open(3) and sem_open(3), open and mapped, mapped only, with holes, read only.
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "tracee.h"

enum { kPage = 4096, kPages = 4096 };

static char *map(int fd, int prot) { return mmap(NULL, kPages * kPage, prot, MAP_SHARED, fd, 0); }

static int make(const char *name, mode_t mode) {
  int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  CHECK(fd >= 0 && ftruncate(fd, kPages * kPage) == 0 && fchmod(fd, mode) == 0);
  return fd;
}

int main(void) {
  char open_name[64], mapped_name[128], read_name[128], sem_name[128];
  sprintf(open_name, "/drover-open-%d-%d", getuid(), getppid() * 100000 + getpid());
  sprintf(mapped_name, "%s-mapped", open_name);
  sprintf(read_name, "%s-read", open_name);
  sprintf(sem_name, "%s-sem", open_name);
  int fd = make(open_name, 0640);
  char *both = map(fd, PROT_READ | PROT_WRITE);
  strcpy(both + 100 * kPage, "through memory");
  CHECK(pwrite(fd, "through the file", 17, 300 * kPage) == 17 && lseek(fd, 42, SEEK_SET) == 42);
  int mapped_fd = make(mapped_name, 0600);
  char *mapped = map(mapped_fd, PROT_READ | PROT_WRITE);
  close(mapped_fd);
  strcpy(mapped + 7 * kPage, "nobody has it open");
  int writer = make(read_name, 0400);
  CHECK(pwrite(writer, "as it was", 10, 0) == 10);
  struct timespec times[2] = {{1000000000, 5}, {1000000000, 123456789}};
  CHECK(futimens(writer, times) == 0);
  close(writer);
  int reader = shm_open(read_name, O_RDONLY, 0);
  sem_t *sem = sem_open(sem_name, O_CREAT | O_EXCL, 0600, 3);
  CHECK(sem != SEM_FAILED && sem_wait(sem) == 0);
  int to_child[2];
  CHECK(pipe(to_child) == 0);
  pid_t child = fork();
  if (child == 0) {
    char byte;
    if (read(to_child[0], &byte, 1) != 1) _exit(1);
    int fine = strcmp(mapped + 7 * kPage, "nobody has it open") == 0;
    strcpy(mapped, "from the child");
    sem_post(sem);
    _exit(fine ? 0 : 2);
  }

  ready_and_wait();

  struct stat info, by_name;
  char path[256], text[32] = {0};
  sprintf(path, "/dev/shm%s", open_name);
  CHECK(fstat(fd, &info) == 0 && stat(path, &by_name) == 0 && info.st_ino == by_name.st_ino && info.st_nlink == 1);
  CHECK(info.st_size == kPages * kPage && (info.st_mode & 07777) == 0640 && info.st_uid == getuid());
  // Nearly all of it is holes still: content travels in pieces of 128 KiB.
  CHECK(info.st_blocks <= 128 * 8);  // the holes are still there
  CHECK(strcmp(both + 100 * kPage, "through memory") == 0 && strcmp(both + 300 * kPage, "through the file") == 0);
  CHECK(lseek(fd, 0, SEEK_CUR) == 42 && pread(fd, text, 15, 100 * kPage) == 15 && strcmp(text, "through memory") == 0);
  strcpy(both, "still one");
  CHECK(pread(fd, text, 10, 0) == 10 && strcmp(text, "still one") == 0);
  CHECK(fstat(reader, &info) == 0 && info.st_mtim.tv_sec == 1000000000 && info.st_mtim.tv_nsec == 123456789);
  CHECK((info.st_mode & 07777) == 0400 && pread(reader, text, 10, 0) == 10 && strcmp(text, "as it was") == 0);
  int status;
  CHECK(write(to_child[1], "x", 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
  CHECK(strcmp(mapped, "from the child") == 0);
  int value = 0, again = shm_open(mapped_name, O_RDWR, 0);
  CHECK(sem_getvalue(sem, &value) == 0 && value == 3);
  CHECK(pread(again, text, 15, 0) == 15 && strcmp(text, "from the child") == 0);
  sem_t *same = sem_open(sem_name, 0);
  CHECK(same != SEM_FAILED && sem_wait(same) == 0 && sem_getvalue(sem, &value) == 0 && value == 2);
  CHECK(shm_unlink(open_name) == 0 && shm_unlink(mapped_name) == 0 && shm_unlink(read_name) == 0);
  CHECK(sem_unlink(sem_name) == 0);
  return done();
}
