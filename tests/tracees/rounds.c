// A ring of four processes with two threads each: a token with a number goes round through pipes, its second half through a
// condition variable from thread to thread; timers tick. Whoever sees a wrong number, or time run backwards, says so.
#include <pthread.h>
#include <sys/wait.h>
#include "tracee.h"

enum { kProcesses = 4 };

static int in, out;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long handed = -1, answered = -1;  // the last token that each of the two threads has seen
static volatile sig_atomic_t ticks;
static double last;

static void tick(int signal) {
  (void)signal;
  const double time = now();
  if (time < last) _exit(3);
  last = time;
  ++ticks;
}

static void *second_thread(void *unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  for (;;) {
    while (handed == answered) pthread_cond_wait(&changed, &mutex);
    answered = handed;
    pthread_cond_broadcast(&changed);
  }
  return NULL;
}

// False at the end of the input.
static int read_token(long *token) {
  char *to = (char *)token;
  for (size_t got = 0; got < sizeof *token;) {
    const ssize_t n = read(in, to + got, sizeof *token - got);
    if (n == 0) return 0;
    if (n > 0) got += (size_t)n;
    if (n < 0 && errno != EINTR) _exit(4);
  }
  return 1;
}

// Each of the four adds one.
static void pass_on(long token) {
  pthread_mutex_lock(&mutex);
  if (answered >= token) _exit(5);
  handed = token;
  pthread_cond_broadcast(&changed);
  while (answered != token) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  ++token;
  ssize_t n;
  while ((n = write(out, &token, sizeof token)) < 0 && errno == EINTR) {
  }
  if (n != sizeof token) _exit(6);
}

static void start(void) {
  struct sigaction action = {.sa_handler = tick};
  sigaction(SIGRTMIN, &action, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  struct itimerspec every = {{0, 7000000}, {0, 7000000}};
  timer_t timer;
  pthread_t thread;
  sigset_t ticks_only;  // one thread takes them: two could look at the clock in one order and at each other's look in another
  sigemptyset(&ticks_only);
  sigaddset(&ticks_only, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &ticks_only, NULL);
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &every, NULL) != 0) _exit(7);
  if (pthread_create(&thread, NULL, second_thread, NULL) != 0) _exit(8);
  pthread_sigmask(SIG_UNBLOCK, &ticks_only, NULL);
}

static volatile sig_atomic_t over;
static void end(int signal) {
  (void)signal;
  over = 1;
}

int main(void) {
  int pipes[kProcesses][2];
  pid_t children[kProcesses];
  for (int i = 0; i < kProcesses; ++i) CHECK(pipe(pipes[i]) == 0);
  for (int i = 1; i < kProcesses; ++i) {
    if ((children[i] = fork()) != 0) continue;
    in = pipes[i - 1][0], out = pipes[i][1];
    for (int j = 0; j < kProcesses; ++j) {
      if (pipes[j][0] != in) close(pipes[j][0]);
      if (pipes[j][1] != out) close(pipes[j][1]);
    }
    start();
    for (long token; read_token(&token);) {
      if (token % kProcesses != i) _exit(9);
      pass_on(token);
    }
    _exit(ticks > 0 ? 0 : 10);
  }
  in = pipes[kProcesses - 1][0], out = pipes[0][1];
  for (int j = 0; j < kProcesses; ++j) {
    if (pipes[j][0] != in) close(pipes[j][0]);
    if (pipes[j][1] != out) close(pipes[j][1]);
  }
  signal(SIGUSR1, end);
  start();
  printf("ready\n");
  fflush(stdout);
  pass_on(0);
  long token = 0, rounds = 0;
  while (!over && read_token(&token)) {
    CHECK(token == ++rounds * kProcesses);
    if (over) break;
    const struct timespec pause = {0, 200000};
    nanosleep(&pause, NULL);
    pass_on(token);
  }
  CHECK(over);
  close(out);
  for (int i = 1; i < kProcesses; ++i) {
    int status = -1;
    pid_t ended;
    while ((ended = waitpid(children[i], &status, 0)) < 0 && errno == EINTR) {
    }
    CHECK(ended == children[i] && status == 0);
    if (status != 0) fprintf(stderr, "child %d: status %#x\n", i, status);
  }
  CHECK(rounds > 0 && ticks > 0);
  printf("%ld rounds\n", rounds);
  return done();
}
