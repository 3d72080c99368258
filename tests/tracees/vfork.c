// A parent that is in vfork(2) nearly all the time, for a moment each, with values in the registers that nobody can read
// meanwhile.
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tracee.h"
#include "vfork.h"

static struct shared {
  atomic_int over;
  atomic_int rounds;
  atomic_int broken;  // registers that came back with another value
  atomic_int wrong;   // statuses that are not the child's
} * shared;

static void nap(long nanoseconds) {
  const struct timespec time = {0, nanoseconds};
  nanosleep(&time, NULL);
  _exit(7);
}

static void make_children(void) {
  while (!shared->over) {
    long pid = 0;
    if (vfork_for(nap, 40000000, &pid) != 0) ++shared->broken;
    int status = 0;
    if (pid <= 0 || waitpid((pid_t)pid, &status, 0) != pid || status != 7 << 8) ++shared->wrong;
    ++shared->rounds;
  }
  _exit(0);
}

int main(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const pid_t maker = fork();
  if (maker == 0) make_children();
  ready_and_wait();
  const int before = shared->rounds, some = 3;
  for (int i = 0; i < 1000 && shared->rounds < before + some; ++i) usleep(10000);
  CHECK(shared->rounds >= before + some);
  shared->over = 1;
  int status = 0;
  CHECK(waitpid(maker, &status, 0) == maker && status == 0);
  CHECK(shared->broken == 0);
  CHECK(shared->wrong == 0);
  return done();
}
