// Unix datagram sockets: many connected to one, datagrams from several senders with their addresses, of senders that are
// gone, too, and credentials with them.
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "tracee.h"

static struct sockaddr_un at(const char *name) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  strcpy(a.sun_path, name);
  return a;
}
static socklen_t size_of(const char *name) { return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1); }
static int bound(const char *name) {
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  struct sockaddr_un a = at(name);
  CHECK(bind(fd, (struct sockaddr *)&a, size_of(name)) == 0);
  return fd;
}
static int connected(int fd, const char *name) {
  struct sockaddr_un a = at(name);
  CHECK(connect(fd, (struct sockaddr *)&a, size_of(name)) == 0);
  return fd;
}
static void send_to(int fd, const char *name, const char *text) {
  struct sockaddr_un a = at(name);
  CHECK(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&a, size_of(name)) == (ssize_t)strlen(text));
}
// `from`: empty for a sender without a name.
static void expect(int fd, const char *text, const char *from) {
  char got[100] = "";
  struct sockaddr_un a = {0};
  socklen_t size = sizeof a;
  CHECK(recvfrom(fd, got, sizeof got - 1, MSG_DONTWAIT, (struct sockaddr *)&a, &size) == (ssize_t)strlen(text) && strcmp(got, text) == 0);
  CHECK(*from == 0 ? size <= 2 : size == size_of(from) && strcmp(a.sun_path, from) == 0);
}
static void expect_sender(int fd, const char *text, pid_t pid) {
  char got[100] = "", control[200];
  struct iovec v = {got, sizeof got - 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(fd, &m, MSG_DONTWAIT) == (ssize_t)strlen(text) && strcmp(got, text) == 0);
  struct cmsghdr *head = CMSG_FIRSTHDR(&m);
  struct ucred sender = {0};
  CHECK(head && head->cmsg_type == SCM_CREDENTIALS);
  if (head) memcpy(&sender, CMSG_DATA(head), sizeof sender);
  CHECK(sender.pid == pid && sender.uid == geteuid() && sender.gid == getegid());
}

int main(void) {
  char folder[] = "/tmp/drover-dgram-XXXXXX", text[100];
  CHECK(mkdtemp(folder) != NULL && chdir(folder) == 0);
  int server = bound("server"), named = connected(bound("named"), "server"), other = bound("other"), unnamed = connected(socket(AF_UNIX, SOCK_DGRAM, 0), "server");
  CHECK(send(named, "first", 5, 0) == 5);
  send_to(other, "server", "second");
  CHECK(send(unnamed, "third", 5, 0) == 5 && send(named, "", 0, 0) == 0);
  int gone = bound("gone");
  send_to(gone, "server", "fifth");
  close(gone), unlink("gone");
  send_to(other, "server", "sixth");
  // Each the other's peer: more than the limit for others fits into its queue.
  int left = bound("left"), right = bound("right");
  connected(left, "right");
  send_to(left, "right", "before");
  send_to(right, "left", "from right");
  connected(right, "left");
  for (int i = 0; i < 40; ++i) CHECK(send(left, "many", 4, MSG_DONTWAIT) == 4);
  // A chain, and a socket that is its own peer.
  int c = bound("c"), b = bound("b"), a = connected(socket(AF_UNIX, SOCK_DGRAM, 0), "b");
  connected(b, "c");
  int self = bound("self");
  connected(self, "self");
  CHECK(send(self, "me", 2, 0) == 2);
  // Connected to one that is gone.
  int late = bound("late"), orphan = connected(socket(AF_UNIX, SOCK_DGRAM, 0), "late");
  close(late), unlink("late");
  // Who wants to know the sender.
  int one = 1, judge = bound("judge");
  CHECK(setsockopt(judge, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
  send_to(other, "judge", "mine");
  pid_t first_child = fork(), child;
  if (first_child == 0) {
    send_to(other, "judge", "my child's");
    _exit(failures);
  }
  int status;
  CHECK(waitpid(first_child, &status, 0) == first_child && status == 0);
  int stream[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0 && setsockopt(stream[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
  CHECK(write(stream[0], "mine", 4) == 4);
  child = fork();
  if (child == 0) _exit(write(stream[0], "child", 5) == 5 ? 0 : 1);
  CHECK(waitpid(child, &status, 0) == child && status == 0);

  ready_and_wait();

  expect(server, "first", "named");
  expect(server, "second", "other");
  expect(server, "third", "");
  expect(server, "", "named");
  expect(server, "fifth", "gone");
  expect(server, "sixth", "other");
  CHECK(recv(server, text, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
  send_to(server, "named", "for its peer");
  expect(named, "for its peer", "server");
  send_to(other, "server", "again");
  expect(server, "again", "other");
  CHECK(send(unnamed, "again", 5, 0) == 5);
  expect(server, "again", "");
  expect(left, "from right", "right");
  expect(right, "before", "left");
  for (int i = 0; i < 40; ++i) expect(right, "many", "left");
  struct sockaddr_un to = at("right");
  CHECK(sendto(other, "x", 1, 0, (struct sockaddr *)&to, size_of("right")) < 0 && errno == EPERM);
  CHECK(send(a, "x", 1, 0) < 0 && errno == EPERM);  // b hears only c
  CHECK(send(b, "to c", 4, 0) == 4);
  expect(c, "to c", "b");
  expect(self, "me", "self");
  CHECK(send(orphan, "x", 1, 0) < 0 && errno == ECONNREFUSED);
  expect_sender(judge, "mine", getpid());
  expect_sender(judge, "my child's", first_child);
  expect_sender(stream[1], "mine", getpid());
  expect_sender(stream[1], "child", child);
  snprintf(text, sizeof text, "rm -r %s", folder);
  CHECK(system(text) == 0);
  return done();
}
