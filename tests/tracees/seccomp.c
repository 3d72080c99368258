// Filters of system calls: two on top of each other in one thread, one in the other. Only root's are moved.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "tracee.h"

// The call fails with the error.
static int forbid(int call, int error) {
  struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program);
}

static int begun[2], over[2];

static void *thread(void *unused) {
  char byte = 0;
  CHECK(forbid(SYS_munmap, EXDEV) == 0 && write(begun[1], &byte, 1) == 1);
  while (read(over[0], &byte, 1) < 0 && errno == EINTR) {
  }
  CHECK(syscall(SYS_munmap, 0, 0) < 0 && errno == EXDEV);
  CHECK(syscall(SYS_getppid) > 0);
  return unused;
}

int main(void) {
  pthread_t other;
  char byte;
  CHECK(pipe(begun) == 0 && pipe(over) == 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  CHECK(pthread_create(&other, NULL, thread, NULL) == 0 && read(begun[0], &byte, 1) == 1);
  // Of the same call the newest filter is the first to be asked, and of two errors it is the one that counts.
  CHECK(forbid(SYS_getppid, EDOM) == 0 && forbid(SYS_getppid, ENOTTY) == 0 && forbid(SYS_rt_sigaction, ENOLCK) == 0);
  CHECK(syscall(SYS_getppid) < 0 && errno == ENOTTY);

  ready_and_wait();

  CHECK(syscall(SYS_getppid) < 0 && errno == ENOTTY);
  CHECK(syscall(SYS_rt_sigaction, SIGUSR2, NULL, NULL, 8) < 0 && errno == ENOLCK);
  CHECK(syscall(SYS_munmap, 0, 0) < 0 && errno == EINVAL);
  CHECK(write(over[1], "x", 1) == 1 && syscall(SYS_gettid) == getpid());
  pthread_join(other, NULL);
  return done();
}
