// For programs that check themselves: set a state up, ready_and_wait(), look at it again with CHECK, exit with done().
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int failures;
#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) {                                                                 \
      fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
      printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #condition);                     \
      ++failures;                                                                       \
    }                                                                                   \
  } while (0)

// SIGUSR1 ends the wait. An EINTR that the program would not have seen without being moved is a failure.
static inline void ready_and_wait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  printf("ready\n");
  fflush(stdout);
  // Between the stop and the first look at the thread a killed dumper leaves it the kernel's EINTR (signal(7)).
  int got;
  do {
    got = sigwaitinfo(&set, NULL);
  } while (got < 0 && errno == EINTR && getenv("DROVER_KILLED_DUMPS"));
  CHECK(got == SIGUSR1);
}

static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int done(void) {
  printf(failures == 0 ? "passed\n" : "failed\n");
  fflush(stdout);
  return failures != 0;
}
