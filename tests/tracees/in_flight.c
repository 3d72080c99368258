// Descriptors on their way through unix sockets: of files that the program has open, too, and of those that nobody has any
// more; where in a stream they lie; sockets with sockets on their way; with a sender's credentials; with datagrams.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "tracee.h"

static void pass(int through, const char *text, int count, const int *fds) {
  union {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(10 * sizeof(int))];
  } control;
  struct iovec v = {(char *)text, strlen(text)};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
  memset(&control, 0, sizeof control);
  control.head.cmsg_level = SOL_SOCKET;
  control.head.cmsg_type = SCM_RIGHTS;
  control.head.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
  memcpy(CMSG_DATA(&control.head), fds, (size_t)count * sizeof(int));
  CHECK(sendmsg(through, &m, 0) == (ssize_t)strlen(text));
  for (int i = 0; i < count; ++i) close(fds[i]);
}
static void pass_one(int through, const char *text, int fd) { pass(through, text, 1, &fd); }

// How many came; `most` bytes are read at most.
static int take(int from, size_t most, const char *text, int *fds) {
  char control[200], got[200] = "";
  struct iovec v = {got, most};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(from, &m, MSG_DONTWAIT) == (ssize_t)strlen(text) && strcmp(got, text) == 0);
  for (struct cmsghdr *head = CMSG_FIRSTHDR(&m); head; head = CMSG_NXTHDR(&m, head)) {
    if (head->cmsg_type != SCM_RIGHTS) continue;
    memcpy(fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
    return (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  }
  return 0;
}
static int take_one(int from, const char *text) {
  int fds[10] = {-1};
  CHECK(take(from, 199, text, fds) == 1);
  return fds[0];
}
static void expect(int fd, const char *text) {
  char got[100] = "";
  CHECK(read(fd, got, sizeof got - 1) == (ssize_t)strlen(text) && strcmp(got, text) == 0);
}

int main(void) {
  int stream[2], packets[2], inner[2], innermost[2], ends[2], other[2], both[2], loop[2], listener_way[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0);
  // Three plain bytes, then one with two descriptors, then plain bytes again, then another.
  CHECK(pipe(ends) == 0 && write(ends[1], "in a pipe", 9) == 9 && write(stream[0], "abc", 3) == 3);
  int kept = dup(ends[1]);
  pass(stream[0], "def", 2, ends);
  CHECK(write(stream[0], "ghi", 3) == 3);
  int memfd = memfd_create("passed", 0);
  CHECK(write(memfd, "in memory", 9) == 9 && lseek(memfd, 3, SEEK_SET) == 3);
  pass_one(stream[0], "jkl", memfd);
  int extra[2] = {dup(0), dup(0)};
  CHECK(write(stream[0], "m", 1) == 1);
  pass_one(stream[0], "n", extra[0]);
  pass_one(stream[0], "op", extra[1]);
  // An unlinked file, a named one, an eventfd; each only on its way.
  char name[] = "/tmp/drover-flight-XXXXXX";
  int unlinked = mkstemp(name);
  CHECK(unlinked >= 0 && unlink(name) == 0 && write(unlinked, "unlinked", 8) == 8 && lseek(unlinked, 0, SEEK_SET) == 0);
  int files[3] = {unlinked, open("/etc/hostname", O_RDONLY), open("/dev/null", O_RDWR)};
  pass(packets[0], "files", 3, files);
  // Sockets within sockets: one end of each here, the other on its way.
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, inner) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, innermost) == 0);
  CHECK(write(innermost[0], "innermost", 9) == 9);
  pass_one(inner[0], "in inner", innermost[1]);
  pass_one(packets[0], "inner", inner[1]);
  // Both ends on their way; nobody has either.
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0 && write(both[0], "to one", 6) == 6);
  pass(packets[0], "both", 2, both);
  // In its own queue: only this program's reading of it can ever free it.
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, loop) == 0);
  int again = dup(loop[1]);
  pass_one(loop[0], "loop", again);
  // A socket that listens, with somebody who waits.
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s.socket", name);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 3) == 0);
  CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, listener_way) == 0);
  pass_one(listener_way[0], "listener", listener);
  // Through a closed end, and with who sent it.
  int one = 1;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0 && setsockopt(other[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
  pid_t child = fork();
  if (child == 0) {
    pass_one(other[0], "of child", dup(kept));
    _exit(failures);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0 && close(other[0]) == 0);

  ready_and_wait();

  int fds[10];
  CHECK(take(stream[1], 2, "ab", fds) == 0);
  CHECK(take(stream[1], 1, "c", fds) == 0);
  CHECK(take(stream[1], 199, "def", fds) == 2);
  CHECK(write(kept, " still", 6) == 6);
  expect(fds[0], "in a pipe still");
  CHECK(fcntl(fds[1], F_GETFL) == O_WRONLY && write(fds[1], "x", 1) == 1);
  expect(fds[0], "x");
  CHECK(take(stream[1], 199, "ghijkl", fds) == 1);
  expect(fds[0], "memory");
  CHECK(take(stream[1], 1, "m", fds) == 0);
  CHECK(take(stream[1], 199, "n", fds) == 1);
  CHECK(take(stream[1], 1, "o", fds) == 1);
  CHECK(take(stream[1], 1, "p", fds) == 0);
  CHECK(take(packets[1], 199, "files", fds) == 3);
  expect(fds[0], "unlinked");
  struct stat info;
  CHECK(fstat(fds[0], &info) == 0 && info.st_nlink == 0 && read(fds[1], &info, 1) == 1 && write(fds[2], "x", 1) == 1);
  int got_inner = take_one(packets[1], "inner"), got_innermost = take_one(got_inner, "in inner");
  expect(got_innermost, "innermost");
  CHECK(write(got_inner, "hello", 5) == 5);
  expect(inner[0], "hello");
  CHECK(write(innermost[0], "more", 4) == 4);
  expect(got_innermost, "more");
  CHECK(take(packets[1], 199, "both", fds) == 2);
  expect(fds[1], "to one");
  CHECK(write(fds[1], "back", 4) == 4);
  expect(fds[0], "back");
  int got_loop = take_one(loop[1], "loop");
  CHECK(write(loop[0], "round", 5) == 5);
  expect(got_loop, "round");
  int got_listener = take_one(listener_way[1], "listener"), accepted = accept(got_listener, NULL, NULL);
  CHECK(accepted >= 0 && write(accepted, "welcome", 7) == 7 && unlink(address.sun_path) == 0);
  expect(client, "welcome");
  char text[20] = "", control[200];
  struct iovec v = {text, sizeof text - 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(other[1], &m, 0) == 8 && strcmp(text, "of child") == 0);
  int seen = 0;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(&m); head; head = CMSG_NXTHDR(&m, head)) {
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(head), sizeof sender < head->cmsg_len - CMSG_LEN(0) ? sizeof sender : head->cmsg_len - CMSG_LEN(0));
    seen += head->cmsg_type == SCM_RIGHTS ? 1 : head->cmsg_type == SCM_CREDENTIALS && sender.pid == child && sender.uid == geteuid() ? 10 : 100;
  }
  CHECK(seen == 11);
  return done();
}
