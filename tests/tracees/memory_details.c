// What areas have besides contents: names, guard pages, policies of where memory comes from.
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "tracee.h"

#define PAGE 4096
#define MADV_GUARD_INSTALL_ 102
#define MADV_GUARD_REMOVE_ 103
static int readable(const void* p) {
  char c;
  struct iovec here = {&c, 1}, there = {(void*)p, 1};
  return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1;
}
static int in_maps(const void* p, const char* name) {
  char line[512], wanted[64];
  snprintf(wanted, sizeof wanted, "%lx-", (unsigned long)p);
  FILE* f = fopen("/proc/self/maps", "r");
  int found = 0;
  while (fgets(line, sizeof line, f)) found |= strncmp(line, wanted, strlen(wanted)) == 0 && strstr(line, name) != NULL;
  fclose(f);
  return found;
}
static int policy(int* mode, unsigned long* nodes, void* p) {
  return (int)syscall(SYS_get_mempolicy, mode, nodes, 1024UL, p, p == NULL ? 0UL : (unsigned long)MPOL_F_ADDR);
}

int main(void) {
  char* named = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char* shared = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const int names = prctl(0x53564d41, 0, named, 8 * PAGE, "a name of ours") == 0;
  const int shared_names = prctl(0x53564d41, 0, shared, 8 * PAGE, "shared one") == 0;
  strcpy(named, "named"), strcpy(shared, "shared");
  char* guarded = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(guarded, 'x', 16 * PAGE);
  const int guards = madvise(guarded + 3 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL_) == 0;
  madvise(guarded + 9 * PAGE, PAGE, MADV_GUARD_INSTALL_);
  char* bound = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned long node0[16] = {1};
  const int numa = syscall(SYS_mbind, bound, 8L * PAGE, MPOL_BIND | MPOL_F_STATIC_NODES, node0, 1024UL, 0UL) == 0;
  CHECK(!numa || syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, node0, 1024UL) == 0);
  strcpy(bound, "bound");
  const int zero = open("/dev/zero", O_RDONLY), also_written = open("/dev/zero", O_RDWR);
  char* zeros = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, zero, 0);
  char* private_zeros = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
  char* shared_zeros = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, also_written, 0);
  CHECK(zeros != MAP_FAILED && private_zeros != MAP_FAILED && shared_zeros != MAP_FAILED);
  close(zero), close(also_written);
  private_zeros[1] = 'p', shared_zeros[1] = 's';
  fprintf(stderr, "names %d shared names %d guards %d numa %d\n", names, shared_names, guards, numa);

  ready_and_wait();

  CHECK(strcmp(named, "named") == 0 && strcmp(shared, "shared") == 0 && strcmp(bound, "bound") == 0);
  CHECK(!names || in_maps(named, "[anon:a name of ours]"));
  CHECK(!shared_names || in_maps(shared, "[anon_shmem:shared one]"));
  for (int i = 0; i < 16; ++i) CHECK(readable(guarded + i * PAGE) == !(guards && (i == 3 || i == 4 || i == 9)));
  CHECK(guarded[2 * PAGE] == 'x' && guarded[5 * PAGE] == 'x' && guarded[16 * PAGE - 1] == 'x');
  CHECK(!guards || (madvise(guarded + 3 * PAGE, PAGE, MADV_GUARD_REMOVE_) == 0 && guarded[3 * PAGE] == 0));
  CHECK(zeros[0] == 0 && zeros[2 * PAGE - 1] == 0 && in_maps(zeros, "r--s") && in_maps(zeros, "/dev/zero"));
  CHECK(mprotect(zeros, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
  CHECK(private_zeros[1] == 'p' && shared_zeros[1] == 's' && shared_zeros[PAGE] == 0);
  int mode;
  unsigned long nodes[16];  // the kernel fills all 1024 bits
  CHECK(!numa || (policy(&mode, nodes, bound) == 0 && mode == (MPOL_BIND | MPOL_F_STATIC_NODES) && nodes[0] == 1));
  CHECK(!numa || (policy(&mode, nodes, NULL) == 0 && mode == MPOL_INTERLEAVE && nodes[0] == 1));
  return done();
}
