// noise SECONDS SEED: a program whose load goes up and down: computes and sleeps in turns, 0.3 s and 0.1 s on average.
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const double end = now() + atof(argv[1]);
  srand48(atol(argv[2]));
  volatile unsigned long count = 0;
  while (now() < end) {
    const double until = now() - 0.3 * log(1 - drand48());
    while (now() < until) ++count;
    const double nap = -0.1 * log(1 - drand48());
    const struct timespec time = {(time_t)nap, (long)((nap - (double)(time_t)nap) * 1e9)};
    nanosleep(&time, NULL);
  }
  printf("%lu\n", count);
  return 0;
}
