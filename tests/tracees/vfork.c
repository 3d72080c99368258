// A parent that is in vfork(2) nearly all the time, for a moment each, with values in the registers that nobody can read
// meanwhile.
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tracee.h"

static struct shared {
  atomic_int over;
  atomic_int rounds;
  atomic_int broken;  // registers that came back with another value
  atomic_int wrong;   // statuses that are not the child's
} * shared;

// The child: nanosleep, exit. The parent: which registers are not as they were before.
static long nap_in_child(const struct timespec* nap, long* pid) {
  long broken;
  __asm__ volatile(
      "mov %[nap], %%rdi\n"
      "mov $0x1111111111, %%rbx\n"
      "mov $0x2222222222, %%r12\n"
      "mov $0x3333333333, %%r13\n"
      "mov $0x4444444444, %%r14\n"
      "mov $0x5555555555, %%r15\n"
      "mov $58, %%eax\n" /* vfork */
      "syscall\n"
      "test %%rax, %%rax\n"
      "jnz 1f\n"
      "xor %%esi, %%esi\n"
      "mov $35, %%eax\n" /* nanosleep */
      "syscall\n"
      "mov $7, %%edi\n"
      "mov $60, %%eax\n" /* exit */
      "syscall\n"
      "1:\n"
      "mov %%rax, %[pid]\n"
      "mov $0x1111111111, %%rax\n"
      "xor %%rax, %%rbx\n"
      "mov $0x2222222222, %%rax\n"
      "xor %%rax, %%r12\n"
      "mov $0x3333333333, %%rax\n"
      "xor %%rax, %%r13\n"
      "mov $0x4444444444, %%rax\n"
      "xor %%rax, %%r14\n"
      "mov $0x5555555555, %%rax\n"
      "xor %%rax, %%r15\n"
      "or %%r12, %%rbx\n"
      "or %%r13, %%rbx\n"
      "or %%r14, %%rbx\n"
      "or %%r15, %%rbx\n"
      "mov %%rbx, %[broken]\n"
      : [broken] "=m"(broken), [pid] "=m"(*pid)
      : [nap] "r"(nap)
      : "rax", "rbx", "rcx", "rdi", "rsi", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  return broken;
}

static void make_children(const struct timespec* nap) {
  while (!shared->over) {
    long pid = 0;
    if (nap_in_child(nap, &pid) != 0) ++shared->broken;
    int status = 0;
    if (pid <= 0 || waitpid((pid_t)pid, &status, 0) != pid || status != 7 << 8) ++shared->wrong;
    ++shared->rounds;
  }
  _exit(0);
}

int main(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const struct timespec nap = {0, 40000000};
  const pid_t maker = fork();
  if (maker == 0) make_children(&nap);
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
