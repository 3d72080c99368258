// Processes that go on without their main thread, which is a zombie until the last other thread has ended: the tree's
// root, and children that are stopped, run as another user, want a signal at the end of their parent, or end.
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "tracee.h"

#define NOBODY 65534
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_t main_thread, waiter_thread;
static volatile int stop, started;
static pid_t waiter_tid;
static __thread int mine;

// The letter of proc(5).
static char state_of(pid_t process, pid_t tid) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", process, tid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  const size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = 0;
  const char *name_end = strrchr(text, ')');
  return name_end == NULL ? 0 : name_end[2];
}

static int has_line(pid_t process, const char *line) {
  char path[64], got[256];
  snprintf(path, sizeof path, "/proc/%d/status", process);
  FILE *file = fopen(path, "r");
  int found = 0;
  while (file != NULL && fgets(got, sizeof got, file) != NULL) found |= strncmp(got, line, strlen(line)) == 0;
  if (file != NULL) fclose(file);
  return found;
}

static int until_state(pid_t process, pid_t tid, char state) {
  for (int i = 0; i < 20000 && state_of(process, tid) != state; ++i) usleep(1000);
  return state_of(process, tid) == state;
}

static void *wait_here(void *value) {
  mine = (int)(long)value;
  const pid_t tid = waiter_tid = gettid();
  pthread_mutex_lock(&mutex);
  ++started;
  while (!stop) pthread_cond_wait(&cond, &mutex);
  pthread_mutex_unlock(&mutex);
  CHECK(mine == (int)(long)value && gettid() == tid && (pid_t)syscall(SYS_gettid) == tid);
  return value;
}

// What a child's other thread does.
static int asked, answered;  // ends of pipes (whose sockets nobody sees before Linux 6.9, PIDFD_THREAD)
static void *answer(void *code) {
  for (char byte = 0; byte != 'q';) {
    if (read(asked, &byte, 1) != 1 || write(answered, &byte, 1) != 1) _exit(98);
  }
  syscall(SYS_exit, (int)(long)code);
  return NULL;
}

struct child {
  pid_t pid;
  int ask, answer;
};

enum { kEnds = 7, kLast = 3 };

static struct child make_child(int uid) {
  int questions[2], answers[2];
  if (pipe(questions) != 0 || pipe(answers) != 0) exit(99);
  const pid_t pid = fork();
  if (pid == 0) {
    asked = questions[0], answered = answers[1];
    close(questions[1]), close(answers[0]);
    pthread_t thread;
    if (uid != 0 && (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)) _exit(96);
    if (uid != 0) prctl(PR_SET_DUMPABLE, 1);  // else our own files in /proc are root's
    prctl(PR_SET_NAME, "main-of-child");
    if (pthread_create(&thread, NULL, answer, (void *)(long)kLast) != 0) _exit(95);
    syscall(SYS_exit, kEnds);
  }
  close(questions[0]), close(answers[1]);
  CHECK(until_state(pid, pid, 'Z'));
  const struct child child = {pid, questions[1], answers[0]};
  return child;
}

static void check_answer(const struct child *child) {
  char byte = 'x';
  CHECK(state_of(child->pid, child->pid) == 'Z' && has_line(child->pid, "Name:\tmain-of-child\n"));
  CHECK(waitpid(child->pid, NULL, WNOHANG) == 0);
  CHECK(write(child->ask, &byte, 1) == 1 && read(child->answer, &byte, 1) == 1 && byte == 'x');
}

static int end_of(const struct child *child) {
  int status = 0;
  CHECK(write(child->ask, "q", 1) == 1 && waitpid(child->pid, &status, 0) == child->pid);
  close(child->ask), close(child->answer);
  return status;
}

static void *go_on(void *unused) {
  (void)unused;
  const pid_t pid = getpid(), tid = gettid();
  CHECK(until_state(pid, pid, 'Z') && tid != pid);
  // How the kernel tells of the end of such a process has changed (synchronize_group_exit(), Linux 5.19).
  struct child other = make_child(0);
  const int usual_status = end_of(&other);
  sigset_t blocked;

  const struct child plain = make_child(0), stopped = make_child(0), foreign = make_child(geteuid() == 0 ? NOBODY : 0);
  int status = 0;
  CHECK(kill(stopped.pid, SIGSTOP) == 0 && waitpid(stopped.pid, &status, WUNTRACED) == stopped.pid && WIFSTOPPED(status));
  const pid_t attached = fork();
  if (attached == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  // Of the process as a whole, one from the kernel and one from us.
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigaddset(&blocked, SIGRTMIN);
  while (sigtimedwait(&blocked, NULL, &(struct timespec){0, 0}) > 0) {
  }
  const pid_t brief = fork();
  if (brief == 0) _exit(5);
  siginfo_t info = {0};
  CHECK(waitid(P_PID, (id_t)brief, &info, WEXITED | WNOWAIT) == 0);
  CHECK(sigqueue(pid, SIGRTMIN, (union sigval){.sival_int = 4711}) == 0);

  ready_and_wait();

  CHECK(getpid() == pid && gettid() == tid && state_of(pid, pid) == 'Z' && has_line(pid, "Name:\tgone-before\n"));
  CHECK(kill(pid, 0) == 0);
  void *result = NULL;
  CHECK(pthread_join(main_thread, &result) == 0 && result == (void *)815);
  CHECK(sigtimedwait(&blocked, &info, &(struct timespec){0, 0}) == SIGCHLD && info.si_code == CLD_EXITED &&
        info.si_pid == brief && info.si_status == 5);
  CHECK(sigtimedwait(&blocked, &info, &(struct timespec){0, 0}) == SIGRTMIN && info.si_value.sival_int == 4711);
  CHECK(waitpid(brief, &status, 0) == brief && WEXITSTATUS(status) == 5);

  CHECK(kill(attached, 0) == 0 && waitpid(attached, NULL, WNOHANG) == 0);
  kill(attached, SIGTERM);
  CHECK(waitpid(attached, &status, 0) == attached && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

  CHECK(waitpid(stopped.pid, &status, WNOHANG | WUNTRACED | WCONTINUED) == 0);  // that it is stopped has been told
  CHECK(kill(stopped.pid, SIGCONT) == 0 && waitpid(stopped.pid, &status, WCONTINUED) == stopped.pid && WIFCONTINUED(status));
  const struct child *all[] = {&plain, &stopped, &foreign};
  for (int i = 0; i < 3; ++i) check_answer(all[i]);
  if (geteuid() == 0) CHECK(has_line(foreign.pid, "Uid:\t65534\t65534\t65534\t65534\n"));
  for (int i = 0; i < 3; ++i) CHECK(end_of(all[i]) == usual_status);

  pthread_mutex_lock(&mutex);
  stop = 1;
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&mutex);
  CHECK(pthread_kill(waiter_thread, 0) == 0 && pthread_join(waiter_thread, &result) == 0 && result == (void *)42);
  pthread_t late;
  CHECK(pthread_create(&late, NULL, wait_here, (void *)43) == 0 && pthread_join(late, &result) == 0 && result == (void *)43);
  exit(done());
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  main_thread = pthread_self();
  pthread_t other;
  if (pthread_create(&waiter_thread, NULL, wait_here, (void *)42) != 0 || pthread_create(&other, NULL, go_on, NULL) != 0)
    return 99;
  while (!started) usleep(1000);
  prctl(PR_SET_NAME, "gone-before");
  pthread_exit((void *)815);
}
