// What belongs to the process: limits, umask, cwd, names, priorities, prctl settings.
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "tracee.h"

int main(void) {
  struct rlimit limit = {123, 456}, core = {0, 0}, got;
  setrlimit(RLIMIT_NOFILE, &limit);
  setrlimit(RLIMIT_CORE, &core);
  umask(027);
  CHECK(chdir("/usr/share") == 0);
  prctl(PR_SET_NAME, "odd ) name (");
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_PDEATHSIG, SIGWINCH);
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  prctl(PR_SET_TIMERSLACK, 12345);
  setpriority(PRIO_PROCESS, 0, 7);
  syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 6);
  personality(personality(0xffffffff) | ADDR_NO_RANDOMIZE);
  struct sched_param zero = {0};
  sched_setscheduler(0, SCHED_BATCH, &zero);
  const pid_t pid = getpid(), session = getsid(0), group = getpgrp();
  FILE* f = fopen("/proc/self/oom_score_adj", "w");
  fprintf(f, "300"), fclose(f);

  ready_and_wait();

  CHECK(getrlimit(RLIMIT_NOFILE, &got) == 0 && got.rlim_cur == 123 && got.rlim_max == 456);
  CHECK(getrlimit(RLIMIT_CORE, &got) == 0 && got.rlim_cur == 0 && got.rlim_max == 0);
  CHECK(umask(0) == 027);
  char cwd[100], name[16];
  CHECK(getcwd(cwd, sizeof cwd) && strcmp(cwd, "/usr/share") == 0);
  prctl(PR_GET_NAME, name);
  CHECK(strcmp(name, "odd ) name (") == 0);
  CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
  int value = 0;
  CHECK(prctl(PR_GET_CHILD_SUBREAPER, &value) == 0 && value == 1);
  CHECK(prctl(PR_GET_PDEATHSIG, &value) == 0 && value == SIGWINCH);
  CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
  CHECK(prctl(PR_GET_TIMERSLACK) == 12345);
  CHECK(getpriority(PRIO_PROCESS, 0) == 7 && sched_getscheduler(0) == SCHED_BATCH);
  CHECK(syscall(SYS_ioprio_get, 1, 0) == ((2 << 13) | 6));
  CHECK(personality(0xffffffff) & ADDR_NO_RANDOMIZE);
  CHECK(getpid() == pid && getsid(0) == session && getpgrp() == group);
  f = fopen("/proc/self/oom_score_adj", "r");
  CHECK(fscanf(f, "%d", &value) == 1 && value == 300);
  CHECK(prctl(PR_GET_DUMPABLE) == 1);
  return done();
}
