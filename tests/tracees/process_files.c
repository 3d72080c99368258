// Files and folders of /proc that speak of the processes themselves, held open over a move: of one's own, of a child's and of a
// parent's, at a position, and for writing.
#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include "tracee.h"

static int open_of(pid_t pid, const char *name, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  return open(path, flags);
}

// The word behind `label` in a status file.
static long field(int fd, const char *label) {
  char text[8192] = {0};
  CHECK(pread(fd, text, sizeof text - 1, 0) > 0);
  const char *found = strstr(text, label);
  CHECK(found != NULL);
  return found ? strtol(found + strlen(label), NULL, 10) : -1;
}

static int has_entry(int fd, const char *name) {
  DIR *folder = fdopendir(dup(fd));
  rewinddir(folder);
  int found = 0;
  for (struct dirent *entry; (entry = readdir(folder));) found |= strcmp(entry->d_name, name) == 0;
  closedir(folder);
  return found;
}

int main(void) {
  const pid_t parent = getpid();
  int go[2], answer[2];
  CHECK(pipe(go) == 0 && pipe(answer) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const int status = open_of(parent, "status", O_RDONLY);
    char byte = 1;
    CHECK(status >= 0 && write(answer[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1);
    _exit(field(status, "Pid:") == parent && !failures ? 7 : 1);
  }
  char byte, text[256] = {0};
  CHECK(read(answer[0], &byte, 1) == 1);
  const int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC), of_child = open_of(child, "status", O_RDONLY);
  const int thread = open("/proc/thread-self/comm", O_RDWR), own = open("/proc/self", O_RDONLY | O_DIRECTORY);
  const int memory = open("/proc/self/mem", O_RDWR), descriptors = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  const int filter = open("/proc/self/coredump_filter", O_WRONLY), uptime = open("/proc/uptime", O_RDONLY);
  static volatile long word = 4711;
  long seen = 0;
  CHECK(read(status, text, 6) == 6 && memcmp(text, "Name:\t", 6) == 0);

  ready_and_wait();

  CHECK(lseek(status, 0, SEEK_CUR) == 6 && read(status, text, 13) == 13);
  CHECK(strncmp(text, "tracee_proces", 13) == 0 && (fcntl(status, F_GETFD) & FD_CLOEXEC));
  CHECK(field(status, "Pid:") == parent && field(of_child, "Pid:") == child && field(of_child, "PPid:") == parent);
  CHECK(write(thread, "renamed", 7) == 7 && pread(status, text, 13, 6) == 13 && strncmp(text, "renamed", 7) == 0);
  CHECK(pread(memory, &seen, sizeof seen, (off_t)&word) == sizeof seen && seen == 4711);
  seen = 42;
  CHECK(pwrite(memory, &seen, sizeof seen, (off_t)&word) == sizeof seen && word == 42);
  CHECK(has_entry(own, "status") && has_entry(descriptors, "0") && read(uptime, text, 4) == 4);
  CHECK(write(filter, "0x31", 4) == 4 && close(filter) == 0);
  const int check = open("/proc/self/coredump_filter", O_RDONLY);
  CHECK(read(check, text, 8) == 8 && memcmp(text, "00000031", 8) == 0);
  int code = 0;
  CHECK(write(go[1], "g", 1) == 1 && waitpid(child, &code, 0) == child && WIFEXITED(code) && WEXITSTATUS(code) == 7);
  return done();
}
