// What a parent has not waited for yet: a child that was stopped and goes on, by wait(2) with WCONTINUED, once. Of such
// that it knows of, or that have been stopped again, it hears no more.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tracee.h"

static void* idle(void* unused) {
  for (;;) pause();
  return unused;
}

static pid_t child(int threads) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  pthread_t thread;
  for (int i = 0; i < threads; ++i) pthread_create(&thread, NULL, idle, NULL);
  for (;;) pause();
}

static void stop(pid_t pid) {
  int status = 0;
  kill(pid, SIGSTOP);
  CHECK(waitpid(pid, &status, WUNTRACED | __WALL) == pid && WIFSTOPPED(status));
}

static int continued(pid_t pid, int flags) {
  siginfo_t info = {0};
  CHECK(waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOHANG | __WALL | flags) == 0);
  if (info.si_pid == 0) return 0;
  CHECK(info.si_pid == pid && info.si_code == CLD_CONTINUED && info.si_status == SIGCONT);
  return 1;
}

static int stopped(pid_t pid) {
  siginfo_t info = {0};
  CHECK(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | __WALL) == 0);
  return info.si_pid == pid && info.si_code == CLD_STOPPED;
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);

  const pid_t untold = child(0), of_threads = child(3), told = child(0), again = child(0), never = child(0);
  // Whose end would tell nobody (clone(2)): found by __WALL only.
  const pid_t silent = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
  const pid_t silent_stopped = silent == 0 ? 0 : (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
  if (silent == 0 || silent_stopped == 0)
    for (;;) pause();
  usleep(50000);  // threads are there
  const pid_t gone_on[] = {untold, of_threads, told, again, silent};
  for (unsigned i = 0; i < sizeof gone_on / sizeof *gone_on; ++i) {
    stop(gone_on[i]);
    kill(gone_on[i], SIGCONT);
    while (!continued(gone_on[i], WNOWAIT)) usleep(1000);
  }
  CHECK(continued(told, 0));
  kill(again, SIGSTOP);
  kill(silent_stopped, SIGSTOP);
  while (continued(again, WNOWAIT)) usleep(1000);
  usleep(50000);
  const struct timespec now = {0, 0};
  siginfo_t info;
  while (sigtimedwait(&set, &info, &now) == SIGCHLD) continue;

  ready_and_wait();

  sigset_t pending;
  CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGCHLD));
  CHECK(continued(untold, 0) && !continued(untold, 0) && !stopped(untold));
  CHECK(continued(of_threads, 0) && !continued(of_threads, 0) && !stopped(of_threads));
  CHECK(continued(silent, 0) && !continued(silent, 0) && !stopped(silent));
  CHECK(!continued(told, 0) && !stopped(told));
  CHECK(!continued(never, 0) && !stopped(never));
  CHECK(!continued(again, 0) && stopped(again) && !stopped(again));
  CHECK(stopped(silent_stopped) && !stopped(silent_stopped));
  CHECK(waitpid(silent, NULL, WNOHANG) < 0 && errno == ECHILD);
  // It hears of it again when it happens again.
  stop(untold);
  kill(untold, SIGCONT);
  usleep(20000);
  CHECK(continued(untold, 0) && !continued(untold, 0));
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGCHLD));

  const pid_t all[] = {untold, of_threads, told, again, never, silent, silent_stopped};
  for (unsigned i = 0; i < sizeof all / sizeof *all; ++i) {
    kill(all[i], SIGKILL);
    CHECK(waitpid(all[i], NULL, __WALL) == all[i]);
  }
  return done();
}
