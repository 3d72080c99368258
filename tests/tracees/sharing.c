// Processes that share tables (clone(2)): descriptors and directories with the parent or a sibling; memory and signal
// handlers, as old thread libraries did; memory alone, with the parent or a sibling.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "tracee.h"

enum { kTables, kThread, kMemory, kMiddle, kFirst, kSecond, kThird, kPeople, kStack = 64 * 1024 };
static struct shared {
  volatile int ready, phase;
  volatile int fine[kPeople], pid[kPeople], parent[kPeople];
} *shared;
static volatile int value, of_thread, of_memory, of_third;  // of whoever has our memory
static int extra = -1;

static void handler(int signal) { (void)signal; }

// Those that have our memory have our errno, too.
static void arrive(int who) {
  shared->pid[who] = (int)syscall(SYS_getpid);
  shared->parent[who] = (int)syscall(SYS_getppid);
  __sync_fetch_and_add(&shared->ready, 1);
  while (shared->phase == 0) usleep(1000);
}
static _Noreturn void leave(int who, int fine) {
  fine &= syscall(SYS_getpid) == shared->pid[who] && syscall(SYS_getppid) == shared->parent[who];
  __sync_synchronize();
  shared->fine[who] = fine;
  while (shared->phase != 9) usleep(1000);
  syscall(SYS_exit_group, 40 + who);
  __builtin_unreachable();
}
static void wait_for(volatile const int *what) {
  while (!*what) usleep(1000);
}
static pid_t make(int (*run)(void *), int flags) {
  char *stack = mmap(NULL, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  return clone(run, stack + kStack, flags, NULL);
}
static int is_open(int fd) { return syscall(SYS_fcntl, fd, F_GETFD) >= 0; }

// Phase 1: what the main process has opened, 150, is ours; we go to /usr and open 151.
static int tables(void *unused) {
  (void)unused;
  arrive(kTables);
  int fine = is_open(150) && value == 0;
  fine &= chdir("/usr") == 0 && umask(071) == 027 && dup2(0, 151) == 151;
  leave(kTables, fine);
}

static int thread(void *unused) {
  (void)unused;
  arrive(kThread);
  wait_for(&shared->fine[kTables]);
  int fine = is_open(150) && is_open(151) && value == 77;
  struct sigaction action = {.sa_handler = handler}, old;
  fine &= sigaction(SIGUSR2, NULL, &old) == 0 && old.sa_handler == handler;
  fine &= sigaction(SIGWINCH, &action, NULL) == 0 && dup2(0, 152) == 152;
  of_thread = 5;
  leave(kThread, fine);
}

static int memory(void *unused) {
  (void)unused;
  arrive(kMemory);
  struct sigaction action = {.sa_handler = SIG_IGN}, old;
  int fine = !is_open(150) && value == 77 && dup2(0, 153) == 153;
  fine &= sigaction(SIGUSR2, NULL, &old) == 0 && old.sa_handler == handler;  // a copy of its maker's
  fine &= sigaction(SIGUSR2, &action, NULL) == 0;
  of_memory = 6;
  leave(kMemory, fine);
}

static int second(void *unused) {
  (void)unused;
  arrive(kSecond);
  wait_for(&shared->fine[kFirst]);
  char path[64] = {0};
  leave(kSecond, is_open(160) && getcwd(path, sizeof path) != NULL && strcmp(path, "/tmp") == 0 && of_third == 0);
}

static int third(void *unused) {
  (void)unused;
  arrive(kThird);
  of_third = 8;
  leave(kThird, !is_open(160));
}

static void middle(void) {
  pid_t first = fork();
  if (first == 0) {
    make(second, CLONE_PARENT | CLONE_FILES | CLONE_FS);
    make(third, CLONE_PARENT | CLONE_VM);
    arrive(kFirst);
    int fine = chdir("/tmp") == 0 && dup2(0, 160) == 160;
    wait_for(&of_third);
    leave(kFirst, fine && of_third == 8);
  }
  arrive(kMiddle);
  wait_for(&shared->fine[kSecond]);
  wait_for(&shared->fine[kThird]);
  char path[64] = {0};
  int fine = !is_open(160) && getcwd(path, sizeof path) != NULL && strcmp(path, "/") == 0 && of_third == 0;
  shared->fine[kMiddle] = fine;
  while (shared->phase != 9) usleep(1000);
  int status = 0, ended = 0;
  while (wait(&status) > 0) ++ended;
  _exit(ended == 3 ? 0 : 1);
}

int main(void) {
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(chdir("/") == 0);
  signal(SIGUSR2, handler);
  umask(027);
  pid_t middle_pid = fork();
  if (middle_pid == 0) middle();
  pid_t with_tables = make(tables, CLONE_FILES | CLONE_FS | SIGCHLD);
  pid_t with_memory = make(memory, CLONE_VM | SIGCHLD);
  pid_t as_thread = make(thread, CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS | SIGCHLD);
  CHECK(with_tables > 0 && as_thread > 0 && with_memory > 0);
  while (shared->ready != kPeople) usleep(1000);
  value = 77;

  ready_and_wait();

  CHECK((extra = dup2(0, 150)) == 150);
  shared->phase = 1;
  for (int i = 0; i < kPeople; ++i) {
    for (int waited = 0; !shared->fine[i] && waited < 3000; ++waited) usleep(1000);
    if (!shared->fine[i]) fprintf(stderr, "process %d\n", i);
    CHECK(shared->fine[i]);
  }
  char path[64] = {0};
  struct sigaction action;
  CHECK(getcwd(path, sizeof path) != NULL && strcmp(path, "/usr") == 0 && umask(022) == 071);
  CHECK(is_open(151) && is_open(152) && !is_open(153) && !is_open(160));
  CHECK(of_thread == 5 && of_memory == 6 && of_third == 0);
  CHECK(sigaction(SIGWINCH, NULL, &action) == 0 && action.sa_handler == handler);
  CHECK(sigaction(SIGUSR2, NULL, &action) == 0 && action.sa_handler == handler);
  shared->phase = 9;
  int status = 0;
  CHECK(waitpid(with_tables, &status, 0) == with_tables && WEXITSTATUS(status) == 40 + kTables);
  CHECK(waitpid(as_thread, &status, 0) == as_thread && WEXITSTATUS(status) == 40 + kThread);
  CHECK(waitpid(with_memory, &status, 0) == with_memory && WEXITSTATUS(status) == 40 + kMemory);
  CHECK(waitpid(middle_pid, &status, 0) == middle_pid && status == 0);
  return done();
}
