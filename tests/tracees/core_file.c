// Zombies that have left a core file, and one that has not: wait(2) says so (WCOREDUMP), and no other file is left.
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tracee.h"

static int is_empty(const char *folder) {
  int entries = 0;
  DIR *open = opendir(folder);
  while (readdir(open) != NULL) ++entries;
  closedir(open);
  return entries == 2;
}

static pid_t die(const char *folder, int signal, rlim_t limit) {
  const pid_t pid = fork();
  if (pid == 0) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){limit, limit});
    CHECK(chdir(folder) == 0);
    raise(signal);
    _exit(1);
  }
  siginfo_t info = {0};
  CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
  CHECK(info.si_code == (limit != 0 ? CLD_DUMPED : CLD_KILLED));
  return pid;
}

int main(void) {
  char here[] = "/tmp/drover-tracee-XXXXXX", cores[] = "/tmp/drover-tracee-XXXXXX";
  CHECK(mkdtemp(here) != NULL && mkdtemp(cores) != NULL && chdir(here) == 0);
  const pid_t aborted = die(cores, SIGABRT, 1 << 20), faulted = die(cores, SIGSEGV, 1 << 20), none = die(cores, SIGABRT, 0);
  CHECK(!is_empty(cores));
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", cores);
  CHECK(system(command) == 0);

  ready_and_wait();

  int status = 0;
  CHECK(waitpid(aborted, &status, 0) == aborted && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && WCOREDUMP(status));
  CHECK(waitpid(faulted, &status, 0) == faulted && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && WCOREDUMP(status));
  CHECK(waitpid(none, &status, 0) == none && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !WCOREDUMP(status));
  CHECK(is_empty(here) && chdir("/") == 0 && rmdir(here) == 0);
  return done();
}
