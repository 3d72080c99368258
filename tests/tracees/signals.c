// Dispositions, masks, pending signals with their siginfo (of the process and of a thread), alternate stack.
#include <pthread.h>
#include <sys/syscall.h>
#include "tracee.h"

static volatile int handled, on_altstack;
static char stack[65536];
static void handler(int s, siginfo_t* i, void* c) {
  (void)s, (void)i, (void)c;
  char here;
  on_altstack = &here >= stack && &here < stack + sizeof stack;
  ++handled;
}
static pthread_t other;
static volatile int go;
static void* blocked_thread(void* arg) {
  (void)arg;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 77;
  CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGRTMIN + 1, &info) == 0);
  __atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&go, __ATOMIC_SEQ_CST) != 2) usleep(1000);
  struct timespec zero = {0, 0};
  sigset_t one;
  sigemptyset(&one), sigaddset(&one, SIGRTMIN + 1);
  CHECK(sigtimedwait(&one, &info, &zero) == SIGRTMIN + 1);
  CHECK(info.si_value.sival_int == 77 && info.si_code == SI_QUEUE);
  return NULL;
}

int main(void) {
  struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER}, old;
  sigemptyset(&sa.sa_mask), sigaddset(&sa.sa_mask, SIGHUP);
  sigaction(SIGUSR2, &sa, NULL);
  signal(SIGPIPE, SIG_IGN);
  struct sigaction chld = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  sigaction(SIGCHLD, &chld, NULL);
  stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&ss, NULL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2), sigaddset(&set, SIGTERM), sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  kill(getpid(), SIGTERM);
  for (int i = 0; i < 3; ++i) sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 100 + i});
  kill(getpid(), SIGUSR2);
  pthread_create(&other, NULL, blocked_thread, NULL);
  while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST)) usleep(1000);

  ready_and_wait();

  go = 2;
  pthread_join(other, NULL);
  sigaction(SIGUSR2, NULL, &old);
  CHECK(old.sa_sigaction == handler && sigismember(&old.sa_mask, SIGHUP) && (old.sa_flags & SA_NODEFER));
  sigaction(SIGPIPE, NULL, &old);
  CHECK(old.sa_handler == SIG_IGN);
  sigaction(SIGCHLD, NULL, &old);
  CHECK(old.sa_flags & SA_NOCLDWAIT);
  stack_t now_stack;
  sigaltstack(NULL, &now_stack);
  CHECK(now_stack.ss_sp == stack && now_stack.ss_size == sizeof stack && now_stack.ss_flags == 0);
  siginfo_t info;
  struct timespec zero = {0, 0};
  sigemptyset(&set), sigaddset(&set, SIGTERM);
  CHECK(sigtimedwait(&set, &info, &zero) == SIGTERM && info.si_code == SI_USER && info.si_pid == getpid());
  sigemptyset(&set), sigaddset(&set, SIGRTMIN);
  for (int i = 0; i < 3; ++i) CHECK(sigtimedwait(&set, &info, &zero) == SIGRTMIN && info.si_value.sival_int == 100 + i);
  CHECK(handled == 0);
  sigemptyset(&set), sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  CHECK(handled == 1 && on_altstack);
  return done();
}
