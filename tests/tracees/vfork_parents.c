// Parents whose children of vfork(2) and posix_spawn(3) do not go on before they are told to: they wait in the kernel
// at first, and by other means when they have been dumped. None may come back early, each must find its registers and
// its child as they have to be.
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tracee.h"
#include "vfork.h"

enum { kExit, kExec, kNap, kKilled, kNested, kSpawn, kEnded, kUsual, kWantsSignal = kUsual, kKinds };

static struct shared {
  atomic_int waiting[kKinds];  // the child is there, and this is its id
  atomic_int told[kKinds];     // to go on
  atomic_int handled[kKinds];  // signals of the parent
} * shared;

static int gates[kKinds][2];  // the child of each reads a byte
static char own_path[256], fifo[256];
static char altstack[64 * 1024];

static void wait_for_gate(long kind) {
  char byte = 0;
  shared->waiting[kind] = (int)syscall(SYS_getpid);
  if (read(gates[kind][0], &byte, 1) != 1) _exit(1);
  stack_t stack;
  if (sigaltstack(NULL, &stack) != 0 || stack.ss_sp != altstack || stack.ss_size != sizeof altstack) _exit(2);
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  if (!sigismember(&mask, SIGHUP) || sigismember(&mask, SIGUSR2) || sigismember(&mask, SIGCHLD)) _exit(3);
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  if (strcmp(name, "a_parent") != 0) _exit(4);
}

static void end_child(long kind) {
  wait_for_gate(kind);
  _exit(7);
}

static void exec_child(long kind) {
  wait_for_gate(kind);
  char* const arguments[] = {own_path, "end", NULL};
  execv(own_path, arguments);
  _exit(5);
}

// Its sleep must be as long as it would have been.
static void nap_child(long kind) {
  const struct timespec nap = {1, 500000000};
  const double begin = now();
  shared->waiting[kind] = (int)syscall(SYS_getpid);
  if (nanosleep(&nap, NULL) != 0) _exit(1);
  _exit(now() - begin < 1.5 ? 2 : 7);
}

static void demanding_child(long kind) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  end_child(kind);
}

static void nest_child(long kind) {
  long pid = 0;
  const long broken = vfork_for(exec_child, kind, &pid);
  int status = 0;
  if (broken != 0 || !shared->told[kind]) _exit(6);
  _exit(waitpid((pid_t)pid, &status, 0) == pid && status == 7 << 8 ? 7 : 8);
}

static void* spawn_child(void* unused) {
  (void)unused;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 9, fifo, O_RDONLY, 0);
  char* const arguments[] = {own_path, "end", NULL};
  char* const environment[] = {NULL};
  pid_t pid = 0;
  int status = 0;
  shared->waiting[kSpawn] = 1;
  if (posix_spawn(&pid, own_path, &actions, NULL, arguments, environment) != 0) _exit(9);
  if (!shared->told[kSpawn]) _exit(10);
  _exit(waitpid(pid, &status, 0) == pid && status == 7 << 8 ? 0 : 11);
}

static long own_kind;

static void handle(int signal) {
  volatile char room[16384];  // must be on a stack of the program's
  for (unsigned i = 0; i < sizeof room; i += 64) room[i] = (char)signal;
  ++shared->handled[own_kind];
}

static void be_parent(long kind) {
  static void (*const kChildren[])(long) = {end_child,  exec_child, nap_child,      end_child,
                                            nest_child, NULL,       end_child, demanding_child};
  prctl(PR_SET_NAME, "a_parent");
  const stack_t stack = {.ss_sp = altstack, .ss_size = sizeof altstack};
  sigaltstack(&stack, NULL);
  own_kind = kind;
  struct sigaction action = {.sa_handler = handle, .sa_flags = kind == kExec ? SA_ONSTACK | SA_RESTART : SA_RESTART};
  sigaction(SIGUSR2, &action, NULL);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGHUP);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  if (kind == kSpawn) {
    pthread_t thread;
    pthread_create(&thread, NULL, spawn_child, NULL);
    pthread_join(thread, NULL);
    _exit(12);
  }
  long pid = 0;
  const long broken = vfork_for(kChildren[kind], kind, &pid);
  if (!shared->told[kind] && kind != kNap) _exit(1);
  if (broken != 0) _exit(2);
  int status = 0;
  if (waitpid((pid_t)pid, &status, 0) != pid) _exit(3);
  if (status != (kind == kKilled ? SIGTERM : 7 << 8)) {
    fprintf(stderr, "child %ld ended with status %x\n", kind, status);
    _exit(4);
  }
  if (kind <= kExec) {
    sigprocmask(SIG_SETMASK, NULL, &mask);
    if (shared->handled[kind] != 1 || sigismember(&mask, SIGUSR2) || !sigismember(&mask, SIGHUP)) _exit(5);
  }
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "end") == 0) return syscall(SYS_gettid) == getpid() ? 7 : 8;
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(readlink("/proc/self/exe", own_path, sizeof own_path - 1) > 0);
  CHECK(snprintf(fifo, sizeof fifo, "/tmp/drover-vfork-%d-%ld", getpid(), (long)(now() * 1e6)) > 0);
  CHECK(mkfifo(fifo, 0600) == 0);
  const int first = argc > 1 ? atoi(argv[1]) : 0, end = argc > 1 ? first + 1 : kUsual;
  pid_t parents[kKinds];
  for (int kind = first; kind < end; ++kind) {
    CHECK(pipe(gates[kind]) == 0);
    parents[kind] = fork();
    if (parents[kind] == 0) be_parent(kind);
    while (!shared->waiting[kind]) usleep(1000);
  }
  usleep(100000);  // most have come to where they wait
  for (int kind = first; kind < end && kind <= kExec; ++kind) kill(parents[kind], SIGUSR2);
  ready_and_wait();
  CHECK(shared->handled[kExit] == 0 && shared->handled[kExec] == 0);
  for (int kind = first; kind < end; ++kind) {
    shared->told[kind] = 1;
    if (kind == kEnded)  // as in the kernel's wait, which lets in what ends it (complete_signal())
      CHECK(kill(parents[kind], SIGTERM) == 0);
    else if (kind == kKilled)
      CHECK(kill(shared->waiting[kind], SIGTERM) == 0);
    else if (kind == kSpawn)
      CHECK(close(open(fifo, O_WRONLY)) == 0);
    else
      CHECK(write(gates[kind][1], "x", 1) == 1);
    int status = 0;
    CHECK(waitpid(parents[kind], &status, 0) == parents[kind]);
    CHECK(status == (kind == kEnded ? SIGTERM : 0));
    if (kind == kEnded) CHECK(write(gates[kind][1], "x", 1) == 1);
    if (status != 0 && kind != kEnded) fprintf(stderr, "parent %d: status %x\n", kind, status);
  }
  unlink(fifo);
  return done();
}
