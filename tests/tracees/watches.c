// What watches others: inotify on a file and a folder, with gaps in its numbers; pidfds of a child, of a
// zombie, and of one that is gone.
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "tracee.h"

static int readable(int fd) {
  struct pollfd ask = {fd, POLLIN, 0};
  return poll(&ask, 1, 0) == 1;
}

static int next_event(int fd, struct inotify_event *event, char *name) {
  char bytes[4096] = {0};
  if (read(fd, bytes, sizeof bytes) < (ssize_t)sizeof *event) return 0;
  memcpy(event, bytes, sizeof *event);
  strcpy(name, event->len != 0 ? bytes + sizeof *event : "");
  return 1;
}

static int tells_that_it_is_gone(int fd) {
  struct pollfd ask = {fd, POLLIN, 0};
  char path[64], line[256];
  int pid = 0;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE *file = fopen(path, "r");
  while (file != NULL && fgets(line, sizeof line, file)) sscanf(line, "Pid: %d", &pid);
  fclose(file);
  errno = 0;
  return poll(&ask, 1, 0) == 1 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) < 0 && errno == ESRCH && pid == -1;
}

int main(void) {
  char folder[] = "/tmp/drover-tracee-XXXXXX", path[64], other[64];
  CHECK(mkdtemp(folder) != NULL);
  snprintf(path, sizeof path, "%s/watched", folder);
  snprintf(other, sizeof other, "%s/other", folder);
  int file = open(path, O_RDWR | O_CREAT, 0600), watcher = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  CHECK(inotify_add_watch(watcher, "/tmp", IN_CREATE) == 1 && inotify_add_watch(watcher, path, IN_MODIFY) == 2);
  CHECK(inotify_rm_watch(watcher, 1) == 0);
  int of_folder = inotify_add_watch(watcher, folder, IN_CREATE | IN_DELETE);
  CHECK(of_folder > 2);
  struct inotify_event event;
  char name[256];
  CHECK(next_event(watcher, &event, name) && event.mask == IN_IGNORED && !readable(watcher));
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  pid_t dead = fork();
  if (dead == 0) _exit(3);
  siginfo_t info;
  CHECK(waitid(P_PID, (id_t)dead, &info, WEXITED | WNOWAIT) == 0);
  int of_child = (int)syscall(SYS_pidfd_open, child, O_NONBLOCK), of_dead = (int)syscall(SYS_pidfd_open, dead, 0);
  CHECK(of_child >= 0 && of_dead >= 0 && !readable(of_child) && readable(of_dead));
  // Gone: shared with the child, and a second time with other flags.
  pid_t gone = fork();
  if (gone == 0) _exit(4);
  int of_gone = (int)syscall(SYS_pidfd_open, gone, 0), of_gone_too = (int)syscall(SYS_pidfd_open, gone, O_NONBLOCK);
  CHECK(waitpid(gone, NULL, 0) == gone && tells_that_it_is_gone(of_gone));
  int of_gone_again = dup(of_gone);
  pid_t sharer = fork();
  if (sharer == 0) {
    while (!(fcntl(of_gone, F_GETFL) & O_NONBLOCK)) usleep(1000);
    _exit(tells_that_it_is_gone(of_gone) ? 0 : 1);
  }

  ready_and_wait();

  CHECK(tells_that_it_is_gone(of_gone) && tells_that_it_is_gone(of_gone_too) && tells_that_it_is_gone(of_gone_again));
  CHECK(!(fcntl(of_gone, F_GETFL) & O_NONBLOCK) && (fcntl(of_gone_too, F_GETFL) & O_NONBLOCK));
  CHECK(fcntl(of_gone_again, F_SETFL, O_NONBLOCK) == 0);  // one description for three
  int ended;
  CHECK(waitpid(sharer, &ended, 0) == sharer && ended == 0);
  CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0);
  CHECK(info.si_pid == dead);  // no helper's end is there to be seen

  CHECK(!readable(watcher));
  CHECK(write(file, "x", 1) == 1 && next_event(watcher, &event, name) && event.wd == 2 && event.mask == IN_MODIFY);
  close(open(other, O_WRONLY | O_CREAT, 0600));
  CHECK(next_event(watcher, &event, name) && event.wd == of_folder && event.mask == IN_CREATE && strcmp(name, "other") == 0);
  CHECK(fcntl(watcher, F_GETFD) == FD_CLOEXEC && (fcntl(watcher, F_GETFL) & O_NONBLOCK));
  CHECK(!readable(of_child) && readable(of_dead) && (fcntl(of_child, F_GETFL) & O_NONBLOCK));
  CHECK(syscall(SYS_pidfd_send_signal, of_child, SIGTERM, NULL, 0) == 0);
  CHECK(waitid((idtype_t)3 /* P_PIDFD */, (id_t)of_dead, &info, WEXITED) == 0 && info.si_status == 3);
  int status;
  CHECK(waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGTERM && readable(of_child));
  unlink(path), unlink(other), rmdir(folder);
  return done();
}
