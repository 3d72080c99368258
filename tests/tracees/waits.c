// Timed calls: none ends early, none with EINTR, and all within a bound. One thread for each.
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include "tracee.h"

#define SECONDS 0.7
static const struct timespec span = {0, 700000000};
static int pipe_ends[2], word;
static struct timespec absolute(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  t.tv_nsec += 700000000;
  if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, ++t.tv_sec;
  return t;
}
static int raw_nanosleep(void) { return (int)syscall(SYS_nanosleep, &span, NULL); }
static int nanosleep_rem(void) { struct timespec t = span; return (int)syscall(SYS_nanosleep, &t, &t); }
static int clock_rem(void) { struct timespec rem; return clock_nanosleep(CLOCK_MONOTONIC, 0, &span, &rem); }
static int clock_abs(void) { struct timespec t = absolute(CLOCK_MONOTONIC); return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL); }
static int do_poll(void) { struct pollfd p = {pipe_ends[0], POLLIN, 0}; return poll(&p, 1, 700); }
static int do_ppoll(void) { struct pollfd p = {pipe_ends[0], POLLIN, 0}; return ppoll(&p, 1, &span, NULL); }
static int do_select(void) {
  struct timeval t = {0, 700000};
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipe_ends[0], &set);
  return select(pipe_ends[0] + 1, &set, NULL, NULL, &t);
}
static int do_epoll(void) {
  int ep = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN};
  epoll_ctl(ep, EPOLL_CTL_ADD, pipe_ends[0], &e);
  return epoll_wait(ep, &e, 1, 700);
}
static int futex_relative(void) { return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &span, 0, 0) == -1 && errno == ETIMEDOUT ? 0 : -1; }
static int do_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGRTMIN + 9);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  return sigtimedwait(&set, NULL, &span) == -1 && errno == EAGAIN ? 0 : -1;
}
static int do_sem(void) {
  sem_t s;
  sem_init(&s, 0, 0);
  struct timespec t = absolute(CLOCK_REALTIME);
  return sem_timedwait(&s, &t) == -1 && errno == ETIMEDOUT ? 0 : -1;
}
static int do_cond(void) {
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t c = PTHREAD_COND_INITIALIZER;
  struct timespec t = absolute(CLOCK_REALTIME);
  pthread_mutex_lock(&m);
  return pthread_cond_timedwait(&c, &m, &t) == ETIMEDOUT ? 0 : -1;
}
static const struct { const char* name; int (*call)(void); int estimated; } cases[] = {
    {"nanosleep", raw_nanosleep, 1},   {"nanosleep rem", nanosleep_rem, 0}, {"clock_nanosleep rem", clock_rem, 0},
    {"clock_nanosleep abs", clock_abs, 0}, {"poll", do_poll, 1},           {"ppoll", do_ppoll, 0},
    {"select", do_select, 0},          {"epoll_wait", do_epoll, 1},         {"futex", futex_relative, 1},
    {"sigtimedwait", do_sigtimedwait, 1}, {"sem_timedwait", do_sem, 0},     {"cond_timedwait", do_cond, 0}};
#define COUNT (sizeof cases / sizeof *cases)
static double slack;

static void* run(void* arg) {
  const size_t i = (size_t)arg;
  const double began = now();
  const int result = cases[i].call();
  const double took = now() - began;
  fprintf(stderr, "%-20s %d %.4f\n", cases[i].name, result, took);
  if (result != 0 || took < SECONDS || took > SECONDS + (cases[i].estimated ? slack + 0.3 : slack)) {
    printf("FAILED %s: result %d errno %d took %.4f\n", cases[i].name, result, errno, took);
    __atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

int main(int argc, char** argv) {
  const double usual = getenv("DROVER_EMULATED") ? 1 : 0.1;
  slack = argc > 1 ? atof(argv[1]) : usual;
  CHECK(pipe(pipe_ends) == 0);
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  pthread_t threads[COUNT];
  for (size_t i = 0; i < COUNT; ++i) pthread_create(&threads[i], NULL, run, (void*)i);
  usleep(100000);
  ready_and_wait();
  for (size_t i = 0; i < COUNT; ++i) pthread_join(threads[i], NULL);
  return done();
}
