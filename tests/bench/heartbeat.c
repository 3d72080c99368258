// A program that notices how long it did not run: heartbeat FILE THREADS MIB FILL. A heartbeat of 1 ms; SIGUSR2 forgets the
// largest gap so far, SIGUSR1 writes it to FILE (in ns) and ends. FILL: random, zero90 (90 % written with zeros), untouched90.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t over, forget;
static void on_signal(int signal) { *(signal == SIGUSR1 ? &over : &forget) = 1; }
static void *wait_for_ever(void *nothing) {
  for (;;) pause();
  return nothing;
}

static long now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  for (int i = 1; i < atoi(argv[2]); ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0) return 1;
  }
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  const size_t bytes = (size_t)atol(argv[3]) << 20, filled = strcmp(argv[4], "random") == 0 ? bytes : bytes / 10;
  unsigned long *words = bytes != 0 ? malloc(bytes) : NULL, x = 88172645463325252UL;
  for (size_t i = 0; i < filled / 8; ++i) words[i] = x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  if (strcmp(argv[4], "zero90") == 0) memset((char *)words + filled, 0, bytes - filled);
  signal(SIGUSR1, on_signal);
  signal(SIGUSR2, on_signal);
  FILE *file = fopen(argv[1], "w");
  fputs("ready\n", file);
  fflush(file);
  long largest = 0, last = now(CLOCK_REALTIME), next = now(CLOCK_MONOTONIC);
  while (!over) {
    next = now(CLOCK_MONOTONIC) + 1000000;
    const struct timespec until = {next / 1000000000, next % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    const long time = now(CLOCK_REALTIME);
    if (time - last > largest) largest = time - last;
    last = time;
    if (forget) largest = forget = 0;
  }
  fprintf(file, "%ld\n", largest);
  fclose(file);
  return 0;
}
