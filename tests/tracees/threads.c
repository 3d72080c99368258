// Threads with state of their own: registers and vector registers, names, masks, TLS, scheduling; ones that wait on
// condition variables and ones that run.
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "tracee.h"

#define WAITERS 20
static __thread int mine;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static volatile int stop, started;
static int woken;

static void* waiter(void* arg) {
  mine = (int)(long)arg;
  char name[16], got[16];
  snprintf(name, sizeof name, "waiter-%d", mine);
  prctl(PR_SET_NAME, name);
  prctl(PR_SET_TIMERSLACK, 1000L * (mine + 1));
  const int nice = getpriority(PRIO_PROCESS, 0) + mine % 10;  // the test itself may run with less than the usual
  setpriority(PRIO_PROCESS, (id_t)gettid(), nice);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((unsigned)mine % 2, &set);
  sched_setaffinity(0, sizeof set, &set);
  pthread_mutex_lock(&mutex);
  const pid_t tid = gettid();
  const pthread_t self = pthread_self();
  ++started;
  while (!stop) pthread_cond_wait(&cond, &mutex);
  ++woken;
  pthread_mutex_unlock(&mutex);
  prctl(PR_GET_NAME, got);
  CHECK(strcmp(name, got) == 0);
  CHECK(mine == (int)(long)arg && pthread_self() == self && gettid() == tid && (pid_t)syscall(SYS_gettid) == tid);
  CHECK(prctl(PR_GET_TIMERSLACK) == 1000 * (mine + 1));
  CHECK(getpriority(PRIO_PROCESS, (id_t)tid) == nice);
  cpu_set_t have;
  sched_getaffinity(0, sizeof have, &have);
  CHECK(CPU_EQUAL(&set, &have));
  return NULL;
}

// Keeps a pattern in vector registers for as long as `stop` is 0, without touching them.
__attribute__((target("avx"))) static void* vector_keeper(void* arg) {
  (void)arg;
  double in[4] = {1.5, 2.5, 3.5, 4.5}, out[4] = {0}, out2[4] = {0};
  __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
  long double deep = 1.25L;
  __asm__ volatile(
      "fldt %4\n vmovupd %2, %%ymm7\n vmovupd %2, %%ymm15\n"
      "1: pause\n cmpl $0, %3\n je 1b\n"
      "vmovupd %%ymm7, %0\n vmovupd %%ymm15, %1\n fstpt %4\n"
      : "=m"(out), "=m"(out2), "+m"(in), "+m"(stop), "+m"(deep)::"xmm7", "xmm15", "memory", "cc");
  CHECK(memcmp(in, out, sizeof in) == 0 && memcmp(in, out2, sizeof in) == 0 && deep == 1.25L);
  return NULL;
}

int main(void) {
  pthread_t threads[WAITERS], keeper;
  for (long i = 0; i < WAITERS; ++i) pthread_create(&threads[i], NULL, waiter, (void*)i);
  pthread_create(&keeper, NULL, vector_keeper, NULL);
  while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < WAITERS + 1) usleep(1000);
  ready_and_wait();
  pthread_mutex_lock(&mutex);
  stop = 1;
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < WAITERS; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(pthread_join(keeper, NULL) == 0 && woken == WAITERS);
  pthread_t late;  // new threads can be made, and are given new ids
  stop = 1;
  CHECK(pthread_create(&late, NULL, waiter, (void*)1L) == 0 && pthread_join(late, NULL) == 0);
  return done();
}
