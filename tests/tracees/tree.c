// A tree of processes: parents, sessions, groups (led by somebody who is gone, too), zombies, stopped ones, orphans, a
// subreaper, shared memory, shared descriptions, pipes between processes. Every process says who it is before and after.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "tracee.h"

struct who {
  pid_t pid, parent, group, session;
};
enum { kMax = 16 };
static struct shared {
  struct who before[kMax], after[kMax];
  volatile int count, settled, over;
} *shared;
static int orders[2], answers[2], file;

static struct who me(void) { return (struct who){getpid(), getppid(), getpgrp(), getsid(0)}; }

// Says who it is, waits for an order to come through the pipe that all share, and says it again.
static void attend(int place) {
  const pid_t parent = getppid();
  __sync_fetch_and_add(&shared->count, 1);
  const int will_be_orphan = place == 6 || place == 7 || place == 9;
  while (will_be_orphan && getppid() == parent) usleep(1000);
  shared->before[place] = me();
  __sync_fetch_and_add(&shared->settled, 1);
  char order = 0;
  if (read(orders[0], &order, 1) != 1) _exit(3);
  shared->after[place] = me();
  lseek(file, 1, SEEK_CUR);  // one position for all
  if (write(answers[1], &order, 1) != 1) _exit(3);
  while (!shared->over) usleep(1000);
  _exit(10 + place);
}

static pid_t child(int place) {
  pid_t pid = fork();
  if (pid == 0) attend(place);
  return pid;
}

static void wait_count(int n) {
  while (shared->count < n) usleep(1000);
}

static char state_of(pid_t pid) {
  char path[64], text[512] = {0};
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) return '?';
  close(fd);
  return strrchr(text, ')')[2];
}

static void wait_state(pid_t pid, char state) {
  while (state_of(pid) != state) usleep(1000);
}

int main(void) {
  shared = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *written = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char path[] = "/tmp/drover-tracee-XXXXXX";
  file = mkstemp(path);
  unlink(path);
  CHECK(write(file, "0123456789abcdefghij", 20) == 20 && lseek(file, 2, SEEK_SET) == 2);
  CHECK(pipe(orders) == 0 && pipe(answers) == 0);

  // 0: an ordinary child. 1, 2: a group of their own, led by a process that has ended and been waited for.
  child(0);
  pid_t leader = fork();
  if (leader == 0) {
    setpgid(0, 0);
    pause();
  }
  for (int i = 1; i <= 2; ++i) {
    pid_t pid = fork();
    if (pid == 0) {
      while (setpgid(0, leader) != 0) usleep(1000);
      attend(i);
    }
  }
  wait_count(3);
  kill(leader, SIGKILL);
  waitpid(leader, NULL, 0);

  // 3: begins a session; 4 is born in it; 5 was born before it, in ours.
  if (fork() == 0) {
    child(5);
    wait_count(4);
    setsid();
    child(4);
    wait_count(5);
    attend(3);
  }
  wait_count(6);

  // 6: an orphan of our session; 7: an orphan in a session whose leader is gone.
  if (fork() == 0) {
    child(6);
    if (fork() == 0) {
      setsid();
      child(7);
      wait_count(8);
      _exit(0);
    }
    wait_count(8);
    wait(NULL);
    _exit(0);
  }
  wait_count(8);
  wait(NULL);

  // 8: a subreaper, which has taken in 9, born in a session that is gone.
  if (fork() == 0) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (fork() == 0) {
      setsid();
      child(9);
      wait_count(9);
      _exit(0);
    }
    wait_count(9);
    wait(NULL);
    attend(8);
  }
  wait_count(10);

  // Zombies: one that exited, one that was killed, one that leads the group of 10.
  pid_t exited = fork();
  if (exited == 0) _exit(42);
  pid_t killed = fork();
  if (killed == 0) {
    signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
  }
  pid_t ahead = fork();
  if (ahead == 0) {
    setpgid(0, 0);
    while (shared->count < 11) usleep(1000);
    _exit(0);
  }
  if (fork() == 0) {
    while (setpgid(0, ahead) != 0) usleep(1000);
    attend(10);
  }
  wait_count(11);
  pid_t slain[8];  // by what can't be caught, and comes at once
  for (int i = 0; i < 8; ++i) {
    slain[i] = fork();
    if (slain[i] == 0)
      for (;;) pause();
    kill(slain[i], SIGKILL);
    wait_state(slain[i], 'Z');
  }
  wait_state(exited, 'Z');
  wait_state(killed, 'Z');
  wait_state(ahead, 'Z');

  // Stopped: 11 by SIGSTOP, and we know; 12 by SIGTSTP, and we have not been told.
  pid_t known = child(11), unknown = fork();
  if (unknown == 0) {
    setpgid(0, 0);  // else its group would be orphaned, which SIGTSTP does not stop
    attend(12);
  }
  while (shared->settled < 13) usleep(1000);
  int status = 0;
  kill(known, SIGSTOP);
  CHECK(waitpid(known, &status, WUNTRACED) == known && WSTOPSIG(status) == SIGSTOP);
  kill(unknown, SIGTSTP);
  wait_state(unknown, 'T');
  // Written by a process that has ended, and never looked at by those that are left.
  pid_t writer = fork();
  if (writer == 0) {
    for (int i = 0; i < 64; ++i) memset(written + i * 4096, i + 1, 4096);
    _exit(0);
  }
  waitpid(writer, NULL, 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);

  ready_and_wait();

  sigset_t pending;
  CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGCHLD));
  CHECK(state_of(known) == 'T' && state_of(unknown) == 'T');
  CHECK(waitpid(known, &status, WUNTRACED | WNOHANG) == 0);
  CHECK(waitpid(unknown, &status, WUNTRACED | WNOHANG) == unknown && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
  for (int i = 0; i < 8; ++i)
    CHECK(waitpid(slain[i], &status, 0) == slain[i] && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  CHECK(waitpid(exited, &status, 0) == exited && WIFEXITED(status) && WEXITSTATUS(status) == 42);
  CHECK(waitpid(killed, &status, 0) == killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  CHECK(state_of(ahead) == 'Z' && waitpid(ahead, &status, 0) == ahead && status == 0);
  for (int i = 0; i < 64; ++i) CHECK(written[i * 4096] == i + 1 && written[i * 4096 + 4095] == i + 1);
  kill(known, SIGCONT);
  kill(unknown, SIGCONT);
  const int all = 13;
  for (int i = 0; i < all; ++i) CHECK(write(orders[1], "x", 1) == 1);
  char answer;
  for (int i = 0; i < all; ++i) CHECK(read(answers[0], &answer, 1) == 1);
  for (int i = 0; i < all; ++i) {
    struct who *a = &shared->before[i], *b = &shared->after[i];
    if (memcmp(a, b, sizeof *a) == 0) continue;
    fprintf(stderr, "place %d: pid %d %d, parent %d %d, group %d %d, session %d %d\n", i, a->pid, b->pid, a->parent, b->parent,
            a->group, b->group, a->session, b->session);
    CHECK(!"the same as before");
  }
  shared->over = 1;
  CHECK(lseek(file, 0, SEEK_CUR) == 2 + all);
  CHECK(waitpid(known, &status, 0) == known && WEXITSTATUS(status) == 21);
  return done();
}
