/* A job of the balance benchmark: burn SECONDS-OF-CPU RESULT-FILE. Uses that much CPU time, counted over moves by work
 * done and not by the clock of the process, which starts anew where a job is restored; then writes when it ended. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static volatile unsigned long sink;

static void work(unsigned long rounds) {
  for (unsigned long i = 0; i < rounds; ++i) sink = sink * 6364136223846793005UL + i;
}

int main(int argc, char** argv) {
  if (argc == 2) { /* how many rounds make a second of CPU here */
    const double begin = now(CLOCK_PROCESS_CPUTIME_ID);
    unsigned long rounds = 0;
    while (now(CLOCK_PROCESS_CPUTIME_ID) - begin < atof(argv[1])) work(100000), rounds += 100000;
    printf("%.0f\n", (double)rounds / (now(CLOCK_PROCESS_CPUTIME_ID) - begin));
    return 0;
  }
  if (argc != 3) {
    fprintf(stderr, "usage: burn ROUNDS RESULT-FILE | burn SECONDS\n");
    return 2;
  }
  const unsigned long rounds = strtoul(argv[1], NULL, 10);
  for (unsigned long done = 0; done < rounds; done += 100000) work(rounds - done < 100000 ? rounds - done : 100000);
  FILE* file = fopen(argv[2], "w");
  if (file == NULL || fprintf(file, "%.6f\n", now(CLOCK_REALTIME)) < 0 || fclose(file) != 0) return 1;
  return 0;
}
