// Threads that do nothing but ask for the time, most often inside the vdso when they are stopped; with "signals" one of
// them in a signal handler, which may have interrupted another inside the vdso.
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>
#include "tracee.h"

static volatile int over, with_signals;

static double seconds(const struct timespec *t) { return (double)t->tv_sec + (double)t->tv_nsec / 1e9; }

static void *ask(void *which) {
  const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE};
  const clockid_t clock = clocks[(long)which];
  struct timespec now_is, last;
  clock_gettime(clock, &last);
  long count = 0;
  for (; !over; ++count) {
    struct timeval day;
    unsigned cpu, node;
    CHECK(clock_gettime(clock, &now_is) == 0 && seconds(&now_is) >= seconds(&last) && seconds(&now_is) < seconds(&last) + 60);
    last = now_is;
    CHECK(gettimeofday(&day, NULL) == 0 && (with_signals || labs(day.tv_sec - time(NULL)) <= 60));
    CHECK(getcpu(&cpu, &node) == 0 && clock_getres(clock, &now_is) == 0);
    if (failures > 3) break;
  }
  CHECK(count > 0);
  return NULL;
}

static volatile long handled;
static void handler(int signal) {
  (void)signal;
  struct timespec time;
  for (int i = 0; i < 20; ++i) clock_gettime(CLOCK_MONOTONIC, &time);
  ++handled;
}

int main(int argc, char **argv) {
  with_signals = argc > 1 && strcmp(argv[1], "signals") == 0;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGALRM, handler);
  struct itimerval every = {{0, 500}, {0, 500}};
  pthread_t threads[4];
  for (long i = 0; i < 4; ++i) CHECK(pthread_create(&threads[i], NULL, ask, (void *)i) == 0);
  if (with_signals) CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
  printf("ready\n");
  fflush(stdout);
  const struct timespec none = {0, 0};
  while (sigtimedwait(&set, NULL, &none) != SIGUSR1) now();
  over = 1;
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  CHECK(with_signals == (handled > 0));
  return done();
}
