// Descriptors of rarer kinds, and positions in folders: O_TMPFILE, signalfd, epoll in epoll, devices of memory, locked and mergeable
// areas.
#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include "tracee.h"

enum { kFiles = 200 };

// Whether the area that `address` begins has this flag (proc(5), VmFlags).
static int has_flag(const void *address, const char *flag) {
  FILE *file = fopen("/proc/self/smaps", "r");
  char line[512], start[32];
  int inside = 0, found = 0;
  const int length = snprintf(start, sizeof start, "%lx-", (unsigned long)address);
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, start, (size_t)length) == 0) inside = 1;
    if (inside && strncmp(line, "VmFlags:", 8) == 0) {
      found = strstr(line, flag) != NULL;
      break;
    }
  }
  fclose(file);
  return found;
}

int main(void) {
  char folder[] = "/tmp/drover-tracee-XXXXXX", path[64];
  CHECK(mkdtemp(folder) != NULL);
  for (int i = 0; i < kFiles; ++i) {
    snprintf(path, sizeof path, "%s/%d", folder, i);
    close(open(path, O_CREAT | O_WRONLY, 0600));
  }
  // Never had a name.
  int nameless = open(folder, O_TMPFILE | O_RDWR, 0640), exclusive = open(folder, O_TMPFILE | O_RDWR | O_EXCL, 0600);
  const int flags = fcntl(nameless, F_GETFL);
  CHECK(write(nameless, "no name", 7) == 7 && write(exclusive, "none ever", 9) == 9 && lseek(exclusive, 5, SEEK_SET) == 5);
  DIR *there = opendir(folder);
  int seen[kFiles] = {0}, count = 0;
  for (struct dirent *entry; count < kFiles / 2 && (entry = readdir(there));)
    if (entry->d_name[0] != '.') ++seen[atoi(entry->d_name)], ++count;
  const long place = telldir(there);

  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGRTMIN + 6);
  CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  CHECK(sigqueue(getpid(), SIGRTMIN + 6, (union sigval){.sival_int = 12}) == 0 && kill(getpid(), SIGUSR2) == 0);

  int inner = epoll_create1(0), outer = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_NONBLOCK);
  struct epoll_event in = {.events = EPOLLIN | EPOLLET, .data.u64 = 1}, out = {.events = EPOLLIN, .data.u64 = 2};
  CHECK(epoll_ctl(inner, EPOLL_CTL_ADD, event, &in) == 0 && epoll_ctl(outer, EPOLL_CTL_ADD, inner, &out) == 0);

  int full = open("/dev/full", O_WRONLY), zero = open("/dev/zero", O_RDONLY), random = open("/dev/random", O_RDONLY);
  const size_t bytes = 16 << 10;
  char *locked = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *mergeable = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *on_fault = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(locked, 'l', bytes);
  CHECK(mlock(locked, bytes) == 0 && has_flag(locked, " lo"));
  const int merges = madvise(mergeable, bytes, MADV_MERGEABLE) == 0;  // CONFIG_KSM
  CHECK(merges == has_flag(mergeable, " mg") && !has_flag(on_fault, " lo"));

  ready_and_wait();

  char text[32] = {0};
  struct stat info;
  CHECK(pread(nameless, text, sizeof text, 0) == 7 && strcmp(text, "no name") == 0 && lseek(nameless, 0, SEEK_CUR) == 7);
  CHECK(fstat(nameless, &info) == 0 && info.st_nlink == 0 && (info.st_mode & 07777) == 0640);
  CHECK(fcntl(nameless, F_GETFL) == flags && fcntl(exclusive, F_GETFL) == flags);
  CHECK(read(exclusive, text, sizeof text) == 4 && memcmp(text, "ever", 4) == 0);
  char own[32];
  snprintf(own, sizeof own, "/proc/self/fd/%d", nameless);
  snprintf(path, sizeof path, "%s/now", folder);
  CHECK(linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 && stat(path, &info) == 0 && info.st_size == 7);
  CHECK(unlink(path) == 0);

  CHECK(telldir(there) == place);
  for (struct dirent *entry; (entry = readdir(there));)
    if (entry->d_name[0] != '.' && strcmp(entry->d_name, "now") != 0) ++seen[atoi(entry->d_name)], ++count;
  for (int i = 0; i < kFiles; ++i) {
    CHECK(seen[i] == 1);
    snprintf(path, sizeof path, "%s/%d", folder, i);
    unlink(path);
  }
  CHECK(count == kFiles && rmdir(folder) == 0);

  struct signalfd_siginfo got[3];
  CHECK(read(signals, got, sizeof got) == 2 * sizeof *got && got[0].ssi_signo == SIGUSR2);
  CHECK(got[1].ssi_signo == (unsigned)SIGRTMIN + 6 && got[1].ssi_int == 12 && read(signals, got, sizeof got) < 0 && errno == EAGAIN);

  CHECK(epoll_wait(outer, &out, 1, 0) == 0 && eventfd_write(event, 1) == 0);
  CHECK(epoll_wait(outer, &out, 1, 1000) == 1 && out.data.u64 == 2 && epoll_wait(inner, &in, 1, 0) == 1 && in.data.u64 == 1);

  CHECK(write(full, "x", 1) < 0 && errno == ENOSPC && read(zero, text, 4) == 4 && text[3] == 0 && read(random, text, 4) == 4);
  CHECK(has_flag(locked, " lo") && locked[bytes - 1] == 'l' && merges == has_flag(mergeable, " mg") && !has_flag(on_fault, " lo"));
  return done();
}
