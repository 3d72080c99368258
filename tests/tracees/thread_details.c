// What the kernel keeps for a thread and shows nowhere, told by what it does with it: lists of robust mutexes, the word that is
// cleared at its end, restartable sequences, timers aimed at it; and the vector registers of AVX-512.
#include <pthread.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include "tracee.h"

static volatile int stop, started;
static pthread_mutex_t robust;
static volatile pid_t aimed_at;
static long aborts, broken;

// Dies with the mutex.
static void *owner(void *unused) {
  CHECK(pthread_mutex_lock(&robust) == 0);
  __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
  while (!stop) usleep(1000);
  return unused;
}

static void *target_of_timer(void *unused) {
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGRTMIN + 4);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  aimed_at = gettid();
  __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
  siginfo_t info;
  int got;
  do got = sigwaitinfo(&set, &info);
  while (got < 0 && errno == EINTR && getenv("DROVER_KILLED_DUMPS"));
  CHECK(got == SIGRTMIN + 4 && info.si_code == SI_TIMER && info.si_value.sival_int == 77);
  return unused;
}

// Stays in a critical section until `stop`. 1: it was aborted, 2: it went on without its section, or on another CPU.
static int stay_in_section(struct rseq *area) {
  int result;
  __asm__ volatile(
      ".pushsection __rseq_cs, \"aw\"\n .balign 32\n 3: .long 0, 0\n .quad 1f, 2f - 1f, 4f\n .popsection\n"
      "leaq 3b(%%rip), %%rax\n movq %%rax, %[section]\n"
      "1: movl %[start], %%ecx\n"
      "5: cmpq $0, %[section]\n je 6f\n"
      "cmpl %%ecx, %[cpu]\n jne 6f\n"
      "cmpl $0, %[stop]\n je 5b\n"
      "2: movl $0, %[result]\n jmp 7f\n"
      "6: movl $2, %[result]\n jmp 7f\n"
      ".byte 0x0f, 0xb9, 0x3d\n .long 0x53053053\n"  // RSEQ_SIG
      "4: movl $1, %[result]\n"
      "7:\n"
      : [result] "=r"(result), [section] "+m"(area->rseq_cs)
      : [start] "m"(area->cpu_id_start), [cpu] "m"(area->cpu_id), [stop] "m"(stop)
      : "rax", "rcx", "memory", "cc");
  return result;
}

static void *in_section(void *unused) {
  struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
  __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
  while (!stop) {
    const int result = stay_in_section(area);
    aborts += result == 1;
    broken += result == 2;
  }
  CHECK(syscall(SYS_rseq, area, 32, 0, RSEQ_SIG) == -1 && errno == EBUSY);
  return unused;
}

__attribute__((target("avx512f"))) static void *wide_registers(void *unused) {
  unsigned char in[64], low[64] = {0}, high[64] = {0};
  unsigned short mask = 0xa5c3, got = 0;
  for (int i = 0; i < 64; ++i) in[i] = (unsigned char)(3 * i + 1);
  __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
  __asm__ volatile(
      "vmovdqu64 %[in], %%zmm5\n vmovdqu64 %[in], %%zmm29\n kmovw %[mask], %%k3\n"
      "1: pause\n cmpl $0, %[stop]\n je 1b\n"
      "vmovdqu64 %%zmm5, %[low]\n vmovdqu64 %%zmm29, %[high]\n kmovw %%k3, %[got]\n"
      : [low] "=m"(low), [high] "=m"(high), [got] "=m"(got)
      : [in] "m"(in), [mask] "m"(mask), [stop] "m"(stop)
      : "xmm5", "memory", "cc");
  CHECK(memcmp(in, low, 64) == 0 && memcmp(in, high, 64) == 0 && got == mask);
  return unused;
}

int main(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  pthread_t threads[4];
  int count = 0;
  pthread_create(&threads[count++], NULL, owner, NULL);
  pthread_create(&threads[count++], NULL, target_of_timer, NULL);
  pthread_create(&threads[count++], NULL, in_section, NULL);
  if (__builtin_cpu_supports("avx512f")) pthread_create(&threads[count++], NULL, wide_registers, NULL);
  while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < count) usleep(1000);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 4, .sigev_value.sival_int = 77};
  event._sigev_un._tid = aimed_at;
  timer_t timer;
  const struct itimerspec far = {{0, 0}, {1000, 0}}, near = {{0, 0}, {0, 1000000}};
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &far, NULL) == 0);
  const unsigned control = __builtin_ia32_stmxcsr() ^ 0x6000;
  __builtin_ia32_ldmxcsr(control);

  ready_and_wait();

  CHECK(__builtin_ia32_stmxcsr() == control);
  struct itimerspec left;
  CHECK(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec > 800 && left.it_value.tv_sec < 1000);
  CHECK(timer_settime(timer, 0, &near, NULL) == 0);
  CHECK(pthread_join(threads[1], NULL) == 0);
  CHECK(pthread_mutex_trylock(&robust) == EBUSY);
  stop = 1;
  CHECK(pthread_join(threads[0], NULL) == 0);  // its word has been cleared, and woken
  CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD && pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
  for (int i = 2; i < count; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(broken == 0 && aborts > 0);
  return done();
}
