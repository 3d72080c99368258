// Processes with threads that end all the time: by exit_group(2) while the others wait or work, which kills threads that have
// stopped already, and one by one, also the main thread first. Each has its status.
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "tracee.h"

enum { kThreads = 6 };

static volatile sig_atomic_t over;
static void on_usr1(int signal) { (void)signal, over = 1; }

static void *live(void *work) {
  static volatile long count;
  while (work) ++count;
  for (;;) pause();
  return NULL;
}

static void *end_soon(void *unused) { return unused; }

static void *end_for_all(void *number) {
  usleep((long)number % 7 * 300);
  _exit((int)(long)number % 90);
}

static void child(int number) {
  pthread_t threads[kThreads];
  if (number % 3 == 2) {
    if (pthread_create(&threads[0], NULL, end_for_all, (void *)(long)number)) _exit(99);
    usleep(number % 11 * 100);
    syscall(SYS_exit, 91);
  }
  for (long i = 0; i < kThreads; ++i)
    if (pthread_create(&threads[i], NULL, number % 2 ? live : end_soon, i == 0 ? &threads : NULL)) _exit(99);
  if (number % 2 == 0)
    for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  _exit(number % 90);
}

int main(void) {
  signal(SIGUSR1, on_usr1);
  printf("ready\n");
  fflush(stdout);
  long children = 0;
  for (int number = 0; !over; ++number, ++children) {
    const pid_t pid = fork();
    if (pid == 0) child(number);
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == number % 90);
    if (failures) break;
  }
  CHECK(children > 10);
  return done();
}
