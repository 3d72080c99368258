// What only root may have, or set again. Whoever may not says which row of state differs, and why the kernel refuses.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "tracee.h"

// Is it so now? Else what the kernel said is printed, once, and the row is not looked at again.
static int row(const char *what, int result) {
  if (result != 0) printf("root only: %s (%s)\n", what, strerror(errno));
  return result == 0;
}

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  int wrong = write(fd, text, strlen(text)) != (ssize_t)strlen(text), error = errno;
  close(fd);
  errno = error;
  return wrong;
}

static int read_number(const char *path) {
  int value = 0;
  FILE *f = fopen(path, "r");
  CHECK(f != NULL && fscanf(f, "%d", &value) == 1);
  fclose(f);
  return value;
}

static int tell[2], answer[2];
static int own_ids;

// Credentials belong to a thread (credentials(7)); setresuid(2) without glibc's care changes one only.
static void *other_user(void *unused) {
  (void)unused;
  uid_t real, effective, saved;
  own_ids = syscall(SYS_setresuid, 1000, 1001, 0);
  char byte = 0;
  CHECK(write(tell[1], &byte, 1) == 1 && read(answer[0], &byte, 1) == 1);
  if (own_ids == 0) {
    CHECK(syscall(SYS_getresuid, &real, &effective, &saved) == 0 && real == 1000 && effective == 1001 && saved == 0);
  }
  return NULL;
}

int main(void) {
  struct sched_param fifo = {3};
  const gid_t groups[] = {4, 20, 1234};
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  const struct rlimit more = {files.rlim_cur, files.rlim_max + 1};
  struct stat info;
  const int nice = row("a nice value below 0", setpriority(PRIO_PROCESS, 0, -5));
  const int io = row("real-time I/O priority", (int)syscall(SYS_ioprio_set, 1, 0, (1 << 13) | 2));
  const int real_time = row("real-time scheduling (SCHED_FIFO)", sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &fifo));
  const int oom = row("an OOM score below its own", write_file("/proc/self/oom_score_adj", "-500"));
  const int supplementary = row("supplementary groups", setgroups(3, groups));
  const int limit = row("resource limits above the caller's", setrlimit(RLIMIT_NOFILE, &more));
  const int bounding = row("a smaller bounding set of capabilities", prctl(PR_CAPBSET_DROP, CAP_SYS_TIME));
  const int secure = row("securebits", prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP));
  pthread_t thread;
  char byte = 0;
  CHECK(pipe(tell) == 0 && pipe(answer) == 0 && pthread_create(&thread, NULL, other_user, NULL) == 0);
  CHECK(read(tell[0], &byte, 1) == 1);
  const int users = row("threads of several users", own_ids);
  CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);  // a change of users takes it away
  const int root = row("a root directory of its own", chroot("/usr"));

  ready_and_wait();

  if (nice) CHECK(getpriority(PRIO_PROCESS, 0) == -5);
  if (io) CHECK(syscall(SYS_ioprio_get, 1, 0) == ((1 << 13) | 2));
  struct sched_param param;
  if (real_time) CHECK(sched_getscheduler(0) == (SCHED_FIFO | SCHED_RESET_ON_FORK) && sched_getparam(0, &param) == 0 && param.sched_priority == 3);
  gid_t now_groups[8];
  if (supplementary) CHECK(getgroups(8, now_groups) == 3 && memcmp(now_groups, groups, sizeof groups) == 0);
  struct rlimit is;
  if (limit) CHECK(getrlimit(RLIMIT_NOFILE, &is) == 0 && is.rlim_max == more.rlim_max);
  if (bounding) CHECK(prctl(PR_CAPBSET_READ, CAP_SYS_TIME) == 0 && prctl(PR_CAPBSET_READ, CAP_CHOWN) == 1);
  if (secure) CHECK(prctl(PR_GET_SECUREBITS) == (SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP));
  if (root) CHECK(stat("/bin/env", &info) == 0 && chroot(".") == 0);
  if (oom && !root) CHECK(read_number("/proc/self/oom_score_adj") == -500);
  (void)users;
  CHECK(write(answer[1], &byte, 1) == 1 && pthread_join(thread, NULL) == 0);
  return done();
}
