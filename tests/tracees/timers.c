// Interval timers, POSIX timers with their ids, timerfds; clocks go on.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include "tracee.h"

int main(void) {
  const double began = now();
  timer_t ids[4];
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 5};
  for (int i = 0; i < 4; ++i) timer_create(CLOCK_MONOTONIC, &event, &ids[i]);
  timer_delete(ids[1]);
  struct itimerspec far = {{7, 0}, {1000, 0}};
  timer_settime(ids[2], 0, &far, NULL);
  struct itimerspec near = {{0, 0}, {0, 300000000}};
  timer_settime(ids[3], 0, &near, NULL);
  struct itimerval virt = {{3, 0}, {500, 0}}, real = {{0, 0}, {900, 0}};
  setitimer(ITIMER_VIRTUAL, &virt, NULL);
  setitimer(ITIMER_REAL, &real, NULL);
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec every = {{0, 50000000}, {0, 50000000}};
  timerfd_settime(fd, 0, &every, NULL);
  int ev = eventfd(41, EFD_NONBLOCK | EFD_SEMAPHORE);
  int plain[3], semaphores[3];
  for (unsigned i = 0; i < 3; ++i) plain[i] = eventfd(i, 0), semaphores[i] = eventfd(i, EFD_SEMAPHORE | EFD_NONBLOCK);
  int ep = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event watch = {.events = EPOLLIN, .data.u64 = 0xabcdef0123456789};
  epoll_ctl(ep, EPOLL_CTL_ADD, ev, &watch);
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGRTMIN + 2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  // A signal that stood for several expirations; the next one is far away.
  timer_t late;
  struct sigevent late_event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
  CHECK(timer_create(CLOCK_MONOTONIC, &late_event, &late) == 0);
  sigset_t late_set;
  sigemptyset(&late_set), sigaddset(&late_set, SIGRTMIN + 3);
  sigprocmask(SIG_BLOCK, &late_set, NULL);
  struct timespec start;
  clock_gettime(CLOCK_MONOTONIC, &start);
  struct itimerspec begun = {{100, 0}, {start.tv_sec - 350, start.tv_nsec}};
  int overrun = 0;
  if (begun.it_value.tv_sec > 0) {  // on a host that is up for so long
    CHECK(timer_settime(late, TIMER_ABSTIME, &begun, NULL) == 0 && sigwaitinfo(&late_set, NULL) == SIGRTMIN + 3);
    CHECK((overrun = timer_getoverrun(late)) == 3);
  }
  struct timespec boot;
  clock_gettime(CLOCK_BOOTTIME, &boot);

  ready_and_wait();

  CHECK(timer_getoverrun(late) == overrun);
  if (overrun) {
    struct itimerspec until;
    CHECK(timer_gettime(late, &until) == 0 && until.it_value.tv_sec > 20 && until.it_value.tv_sec < 50);
    const struct timespec none = {0, 0};
    CHECK(sigtimedwait(&late_set, NULL, &none) < 0 && errno == EAGAIN);
  }
  struct timespec boot_now;
  clock_gettime(CLOCK_BOOTTIME, &boot_now);
  CHECK(boot_now.tv_sec >= boot.tv_sec && boot_now.tv_sec < boot.tv_sec + 60);
  CHECK(now() > began && now() < began + 60);
  struct itimerspec left;
  CHECK(timer_gettime(ids[2], &left) == 0 && left.it_interval.tv_sec == 7 && left.it_value.tv_sec > 900);
  CHECK(timer_gettime(ids[1], &left) == -1);
  struct itimerval it;
  getitimer(ITIMER_VIRTUAL, &it);
  CHECK(it.it_interval.tv_sec == 3 && it.it_value.tv_sec > 490);
  getitimer(ITIMER_REAL, &it);
  CHECK(it.it_value.tv_sec > 800 && it.it_value.tv_sec < 900);
  siginfo_t info;
  struct timespec limit = {5, 0};
  CHECK(sigtimedwait(&set, &info, &limit) == SIGRTMIN + 2 && info.si_value.sival_int == 5);
  CHECK(now() - began >= 0.299);
  usleep(60000);
  unsigned long ticks = 0;
  CHECK(read(fd, &ticks, 8) == 8 && ticks >= 3);
  CHECK((double)ticks <= (now() - began) / 0.05 + 1);
  struct epoll_event got;
  CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.data.u64 == 0xabcdef0123456789);
  unsigned long one = 0;
  CHECK(read(ev, &one, 8) == 8 && one == 1);
  for (unsigned i = 0; i < 3; ++i) {
    const unsigned long more = 3;
    unsigned long taken = 0, left = 0;
    CHECK(write(plain[i], &more, 8) == 8 && read(plain[i], &taken, 8) == 8 && taken == i + more);
    CHECK(write(semaphores[i], &more, 8) == 8);
    for (; read(semaphores[i], &taken, 8) == 8 && taken == 1; ++left) continue;
    CHECK(left == i + more);
  }
  return done();
}
