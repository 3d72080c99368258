// Anonymous memory in huge pages (MAP_HUGETLB): written in parts, not at all, read only, and seen by a child.
#include <sys/mman.h>
#include <sys/wait.h>
#include "tracee.h"

enum { kHuge = 2 << 20, kPages = 3 };

static long own_pages(void) {
  char line[256];
  long kib = -1;
  FILE *file = fopen("/proc/self/smaps_rollup", "r");
  while (fgets(line, sizeof line, file)) sscanf(line, "Private_Hugetlb: %ld", &kib);
  fclose(file);
  return kib / (kHuge / 1024);
}

int main(void) {
  char *all = mmap(NULL, kPages * kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  CHECK(all != MAP_FAILED);
  if (all == MAP_FAILED) return 1;
  strcpy(all + 5000, "in the first");
  memset(all + 2 * kHuge, 'x', kHuge);
  CHECK(mprotect(all + 2 * kHuge, kHuge, PROT_READ) == 0);
  CHECK(own_pages() == 2);

  ready_and_wait();

  CHECK(strcmp(all + 5000, "in the first") == 0 && all[0] == 0);
  for (int i = 0; i < kHuge; ++i) {
    if (all[2 * kHuge + i] == 'x') continue;
    CHECK(!"all of the third");
    break;
  }
  CHECK(own_pages() == 2);
  all[kHuge] = 'y';
  CHECK(own_pages() == 3);
  CHECK(mprotect(all + 2 * kHuge, 4096, PROT_READ | PROT_WRITE) < 0);  // parts of a huge page have no protection of their own
  pid_t child = fork();
  if (child == 0) _exit(all[kHuge] == 'y' && all[2 * kHuge] == 'x' ? 0 : 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  return done();
}
