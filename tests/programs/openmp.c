// An OpenMP program: teams of threads with a barrier, a reduction, a critical section and tasks.
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

enum { kCells = 200000, kSteps = 40 };

static unsigned long fibonacci(int n) {
  if (n < 2) return (unsigned long)n;
  unsigned long a, b;
#pragma omp task shared(a) if (n > 15)
  a = fibonacci(n - 1);
  b = fibonacci(n - 2);
#pragma omp taskwait
  return a + b;
}

int main(void) {
  unsigned long* cells = malloc(kCells * sizeof *cells);
  unsigned long* next = malloc(kCells * sizeof *next);
  if (!cells || !next) return 1;
  for (int i = 0; i < kCells; ++i) cells[i] = (unsigned long)i;
  unsigned long sum = 0, turns = 0, tree = 0;
#pragma omp parallel num_threads(4)
  {
    for (int step = 0; step < kSteps; ++step) {
#pragma omp for schedule(dynamic, 1000)
      for (int i = 0; i < kCells; ++i) next[i] = cells[(i + kCells - 1) % kCells] * 2 + cells[(i + 1) % kCells];
#pragma omp single
      {
        unsigned long* was = cells;
        cells = next;
        next = was;
      }
#pragma omp critical
      ++turns;
#pragma omp barrier
    }
#pragma omp for reduction(+ : sum)
    for (int i = 0; i < kCells; ++i) sum += cells[i];
#pragma omp single
    tree = fibonacci(24);
  }
  printf("sum %lu, turns %lu, tree %lu\n", sum, turns, tree);
  return turns == 4 * kSteps ? 0 : 1;
}
