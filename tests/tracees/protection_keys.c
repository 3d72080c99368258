// Memory protection keys, pkeys(7): of areas, what is allocated, and what each thread may do. Prints "no protection
// keys here" and fails where the processor or the kernel has none.
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tracee.h"

#define PAGE 4096
#define THREADS 3
#define EXECUTE_ONLY 7

static __thread sigjmp_buf after_fault;
static __thread volatile int expected, fault_code;
static __thread volatile unsigned fault_key;

static void on_fault(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  if (!expected) _exit(3);
  fault_code = info->si_code;
  fault_key = info->si_pkey;
  siglongjmp(after_fault, 1);
}

// The kernel's default in handlers is that keys but 0 are denied; what a thread had comes back with sigreturn(2), and
// siglongjmp(3) does not put it back.
static void write_pkru(unsigned pkru) {
  __asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(pkru), "c"(0), "d"(0) : "memory");
}
static unsigned read_pkru(void) {
  unsigned pkru, unused;
  __asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(pkru), "=d"(unused) : "c"(0));
  return pkru;
}

enum { READ, WRITE };
// 0: allowed; else the key that forbids it.
static unsigned forbidden(volatile char* at, int how) {
  const unsigned pkru = read_pkru();
  fault_code = 0, fault_key = 0, expected = 1;
  if (sigsetjmp(after_fault, 1) == 0) {
    const char c = *at;
    if (how == WRITE) *at = c;
    expected = 0;
    return 0;
  }
  expected = 0;
  write_pkru(pkru);
  CHECK(fault_code == SEGV_PKUERR);
  return fault_key;
}

static unsigned key_in_smaps(const void* at) {
  char line[512], wanted[32];
  unsigned key = ~0U;
  int here = 0;
  snprintf(wanted, sizeof wanted, "%lx-", (unsigned long)at);
  FILE* f = fopen("/proc/self/smaps", "r");
  while (fgets(line, sizeof line, f)) {
    if (strchr("0123456789abcdef", line[0])) here = strncmp(line, wanted, strlen(wanted)) == 0;
    if (here && sscanf(line, "ProtectionKey: %u", &key) == 1) break;
  }
  fclose(f);
  return key;
}

static void* map(int prot) { return mmap(NULL, 4 * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static int rights(unsigned pkru, int key) { return pkru >> (2 * key) & 3; }

static pthread_barrier_t barrier;
static char *closed, *readable, *freed, *shared, *code;
static int key_closed, key_freed, key_readable;

// The first may do everything, the second nothing that has a key, the third may read what the others may not.
static unsigned chosen_pkru(int thread) {
  if (thread == 1) return 0x55555554;
  return thread == 0 ? 0 : 2U << (2 * key_closed) | 1U << (2 * EXECUTE_ONLY);
}

static void* run_thread(void* argument) {
  const int index = (int)(intptr_t)argument;
  const unsigned pkru = chosen_pkru(index);
  write_pkru(pkru);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  CHECK(read_pkru() == pkru);
  if (index == 0) {
    CHECK(forbidden(closed, WRITE) == 0 && forbidden(readable, WRITE) == 0 && forbidden(freed, WRITE) == 0);
    CHECK(strcmp(closed, "closed") == 0);
    CHECK(*(volatile unsigned char*)code == 0xb8);  // what can only be executed it may read, too
  } else if (index == 1) {
    CHECK(forbidden(closed, READ) == (unsigned)key_closed && forbidden(readable, READ) == (unsigned)key_readable);
    CHECK(forbidden(freed, READ) == (unsigned)key_freed && forbidden(code, READ) == EXECUTE_ONLY);
  } else {
    CHECK(forbidden(closed, READ) == 0 && forbidden(closed, WRITE) == (unsigned)key_closed);
    CHECK(forbidden(readable, WRITE) == 0 && forbidden(code, READ) == EXECUTE_ONLY);
  }
  CHECK(read_pkru() == pkru);
  return NULL;
}

// Key 2 is free, and its area has it still.
static void set_up(void) {
  const int keys[] = {pkey_alloc(0, PKEY_DISABLE_ACCESS), pkey_alloc(0, 0), pkey_alloc(0, PKEY_DISABLE_WRITE)};
  if (keys[0] < 0) {
    printf("FAILED: no protection keys here\n");
    exit(1);
  }
  key_closed = keys[0], key_freed = keys[1], key_readable = keys[2];
  CHECK(key_closed == 1 && key_freed == 2 && key_readable == 3);
  closed = map(PROT_READ | PROT_WRITE), readable = map(PROT_READ | PROT_WRITE), freed = map(PROT_READ | PROT_WRITE);
  shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  strcpy(closed, "closed"), strcpy(readable, "readable"), strcpy(freed, "freed"), strcpy(shared, "shared");
  CHECK(pkey_mprotect(closed, 4 * PAGE, PROT_READ | PROT_WRITE, key_closed) == 0);
  CHECK(pkey_mprotect(readable, 4 * PAGE, PROT_READ | PROT_WRITE, key_readable) == 0);
  CHECK(pkey_mprotect(freed, 4 * PAGE, PROT_READ | PROT_WRITE, key_freed) == 0);
  CHECK(pkey_mprotect(shared, 4 * PAGE, PROT_READ | PROT_WRITE, key_readable) == 0);
  // As many are taken as leave EXECUTE_ONLY for the kernel.
  int between[EXECUTE_ONLY];
  for (int key = 4; key < EXECUTE_ONLY; ++key) CHECK((between[key] = pkey_alloc(0, 0)) == key);
  code = map(PROT_READ | PROT_WRITE);
  memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6);  // mov $42, %eax; ret
  CHECK(mprotect(code, 4 * PAGE, PROT_EXEC) == 0);
  for (int key = 4; key < EXECUTE_ONLY; ++key) CHECK(pkey_free(between[key]) == 0);
  CHECK(pkey_free(key_freed) == 0);
}

static void check_areas(void) {
  CHECK(key_in_smaps(closed) == (unsigned)key_closed && key_in_smaps(readable) == (unsigned)key_readable);
  CHECK(key_in_smaps(freed) == (unsigned)key_freed && key_in_smaps(shared) == (unsigned)key_readable);
  CHECK(key_in_smaps(code) == EXECUTE_ONLY);
  CHECK(forbidden(closed, READ) == (unsigned)key_closed);
  CHECK(strcmp(readable, "readable") == 0 && strcmp(shared, "shared") == 0 && strcmp(freed, "freed") == 0);
  CHECK(forbidden(readable, WRITE) == (unsigned)key_readable && forbidden(shared, WRITE) == (unsigned)key_readable);
  CHECK(forbidden(code, READ) == EXECUTE_ONLY);
  CHECK(((int (*)(void))code)() == 42);
}

// What is allocated next is what would have been.
static void check_allocation(void) {
  static const int expected[] = {2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  CHECK(pkey_free(EXECUTE_ONLY) < 0 && errno == EINVAL);  // the kernel's own
  char* more = map(PROT_READ);
  CHECK(mprotect(more, 4 * PAGE, PROT_EXEC) == 0 && key_in_smaps(more) == EXECUTE_ONLY);
  for (unsigned i = 0; i < sizeof expected / sizeof *expected; ++i) CHECK(pkey_alloc(0, 0) == expected[i]);
  CHECK(pkey_alloc(0, 0) < 0 && errno == ENOSPC);
  CHECK(pkey_free(key_closed) == 0 && pkey_free(key_readable) == 0);
}

int main(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = on_fault;
  sigaction(SIGSEGV, &action, NULL);
  set_up();
  const unsigned pkru = read_pkru();
  CHECK(rights(pkru, 0) == 0 && rights(pkru, key_closed) == 1 && rights(pkru, key_readable) == 2);
  CHECK(rights(pkru, EXECUTE_ONLY) == 1 && rights(pkru, 15) == 1);
  check_areas();
  pthread_t threads[THREADS];
  pthread_barrier_init(&barrier, NULL, THREADS + 1);
  for (intptr_t i = 0; i < THREADS; ++i) pthread_create(&threads[i], NULL, run_thread, (void*)i);
  pthread_barrier_wait(&barrier);

  ready_and_wait();

  CHECK(read_pkru() == pkru);
  check_areas();
  CHECK(read_pkru() == pkru);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
  check_allocation();
  return done();
}
