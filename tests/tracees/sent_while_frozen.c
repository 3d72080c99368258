// Every process but the first is sent SIGUSR2 while all of them are frozen in their waits (move --signal 12). None may
// find only its handler run: each wait must end with EINTR as well, here or where it has been moved.
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tracee.h"

static const struct timespec kLong = {1000, 0};
static int epoll, sockets[2];
static sigset_t none;

static long endless_epoll(void) {
  struct epoll_event event;
  return epoll_wait(epoll, &event, 1, -1);
}

static long timed_epoll(void) {
  struct epoll_event event;
  return epoll_wait(epoll, &event, 1, 1000000);
}

// The signal is let in by the call alone.
static long masked_epoll(void) {
  struct epoll_event event;
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  return epoll_pwait(epoll, &event, 1, -1, &none);
}

static long masked_ppoll(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  return ppoll(NULL, 0, &kLong, &none);
}

static long endless_poll(void) { return poll(NULL, 0, -1); }
static long timed_poll(void) { return poll(NULL, 0, 1000000); }
static long relative_sleep(void) { return nanosleep(&kLong, NULL); }

static long absolute_sleep(void) {
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += 1000;
  const int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
  errno = error;
  return error == 0 ? 0 : -1;
}

static long endless_pause(void) { return pause(); }

static long select_for_long(void) {
  struct timeval rest = {1000, 0};
  return select(0, NULL, NULL, NULL, &rest);
}

static long read_pipe(void) {
  int ends[2];
  char byte;
  if (pipe(ends) != 0) _exit(2);
  return read(ends[0], &byte, 1);
}

static long timed_receive(void) {
  const struct timeval end = {1000, 0};
  char byte;
  if (setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &end, sizeof end) != 0) _exit(2);
  return recv(sockets[0], &byte, 1, 0);
}

static long wait_for_signal(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  return sigwaitinfo(&set, NULL);
}

static long endless_futex(void) {
  int word = 1;
  return syscall(SYS_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0);
}

static long timed_futex(void) {
  int word = 1;
  return syscall(SYS_futex, &word, FUTEX_WAIT, 1, &kLong, NULL, 0);
}

static const struct {
  const char* name;
  long (*call)(void);
} kWaits[] = {{"epoll_wait, endless", endless_epoll},
              {"epoll_wait", timed_epoll},
              {"epoll_pwait", masked_epoll},
              {"ppoll", masked_ppoll},
              {"poll, endless", endless_poll},
              {"poll", timed_poll},
              {"nanosleep", relative_sleep},
              {"clock_nanosleep", absolute_sleep},
              {"pause", endless_pause},
              {"select", select_for_long},
              {"read", read_pipe},
              {"recv with SO_RCVTIMEO", timed_receive},
              {"sigwaitinfo", wait_for_signal},
              {"futex, endless", endless_futex},
              {"futex", timed_futex}};
enum { kCount = sizeof kWaits / sizeof *kWaits };

static struct shared {
  atomic_int begun[kCount], handled[kCount], over[kCount];
  long result[kCount];
  int error[kCount];
} * shared;
static int own;

static void handle(int signal) {
  (void)signal;
  ++shared->handled[own];
}

static void wait_in_call(int kind) {
  own = kind;
  struct sigaction action = {.sa_handler = handle};
  sigaction(SIGUSR2, &action, NULL);
  shared->begun[kind] = 1;
  shared->result[kind] = kWaits[kind].call();
  shared->error[kind] = errno;
  shared->over[kind] = 1;
  for (;;) pause();
}

static char state_of(pid_t pid) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int file = open(path, O_RDONLY);
  const ssize_t n = read(file, text, sizeof text - 1);
  close(file);
  const char* end = n > 0 ? strrchr(text, ')') : NULL;
  return end ? end[2] : '?';
}

int main(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  sigemptyset(&none);
  epoll = epoll_create1(0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
  signal(SIGUSR2, SIG_IGN);
  pid_t pids[kCount];
  for (int kind = 0; kind < kCount; ++kind) {
    pids[kind] = fork();
    if (pids[kind] == 0) wait_in_call(kind);
    while (!shared->begun[kind] || state_of(pids[kind]) != 'S') usleep(1000);
  }
  ready_and_wait();
  for (int kind = 0; kind < kCount; ++kind) {
    for (int i = 0; i < 20000 && !shared->over[kind]; ++i) usleep(1000);
    const int right =
        shared->over[kind] && shared->handled[kind] > 0 && shared->result[kind] == -1 && shared->error[kind] == EINTR;
    if (!right)
      fprintf(stderr, "%s: over %d, handled %d, result %ld, error %d\n", kWaits[kind].name, shared->over[kind],
              shared->handled[kind], shared->result[kind], shared->error[kind]);
    CHECK(right);
    kill(pids[kind], SIGKILL);
    CHECK(waitpid(pids[kind], NULL, 0) == pids[kind]);
  }
  return done();
}
