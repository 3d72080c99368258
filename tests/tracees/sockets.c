// Pairs of unix sockets: queued data in both directions, boundaries of messages, shut down, closed by the peer, shared with
// a child, options, who the peer is.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "tracee.h"

static ssize_t take(int fd, char *to) {
  memset(to, 0, 300);
  return recv(fd, to, 300, MSG_DONTWAIT);
}

int main(void) {
  int stream[2], dgram[2], seq[2], half[2], closed[2], gone[2], child_pair[2], loner = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, stream) == 0);
  CHECK(write(stream[0], "hello ", 6) == 6 && write(stream[0], "there", 5) == 5 && write(stream[1], "back", 4) == 4);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram) == 0);
  CHECK(send(dgram[0], "one", 3, 0) == 3 && send(dgram[0], "", 0, 0) == 0 && send(dgram[0], "three", 5, 0) == 5);
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, seq) == 0);
  CHECK(send(seq[1], "first", 5, 0) == 5 && send(seq[1], "second", 6, 0) == 6);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, half) == 0 && write(half[0], "last words", 10) == 10 && shutdown(half[0], SHUT_WR) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, closed) == 0 && write(closed[0], "testament", 9) == 9 && close(closed[0]) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, gone) == 0 && close(gone[0]) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, child_pair) == 0);
  int size = 50000, full[2];
  CHECK(setsockopt(stream[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
  socklen_t length = sizeof size;
  CHECK(getsockopt(stream[1], SOL_SOCKET, SO_SNDBUF, &size, &length) == 0);
  struct timeval wait_time = {3, 250000}, is_time;
  CHECK(setsockopt(seq[0], SOL_SOCKET, SO_RCVTIMEO, &wait_time, sizeof wait_time) == 0);
  length = sizeof wait_time;  // the kernel rounds it
  CHECK(getsockopt(seq[0], SOL_SOCKET, SO_RCVTIMEO, &wait_time, &length) == 0 && wait_time.tv_sec == 3);
  // Until not a byte more goes in.
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, full) == 0);
  static char block[1000];
  memset(block, 'b', sizeof block);
  size_t in_full = 0;
  for (ssize_t n; (n = write(full[0], block, sizeof block)) > 0;) in_full += (size_t)n;
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, child_pair[0], &event) == 0);
  pid_t child = fork();
  if (child == 0) {
    char text[16];
    ssize_t n;
    close(child_pair[0]);
    while ((n = read(child_pair[1], text, sizeof text)) > 0)
      if (write(child_pair[1], text, (size_t)n) != n) _exit(2);
    _exit(n == 0 ? 5 : 1);
  }
  close(child_pair[1]);

  ready_and_wait();

  char text[300];
  CHECK(take(stream[1], text) == 11 && strcmp(text, "hello there") == 0);
  CHECK(take(stream[0], text) == 4 && strcmp(text, "back") == 0);
  CHECK(read(stream[0], text, 1) < 0 && errno == EAGAIN);
  CHECK(take(dgram[1], text) == 3 && strcmp(text, "one") == 0 && take(dgram[1], text) == 0 && take(dgram[1], text) == 5);
  CHECK(take(dgram[1], text) < 0 && errno == EAGAIN);
  CHECK(take(seq[0], text) == 5 && take(seq[0], text) == 6 && strcmp(text, "second") == 0);
  CHECK(fcntl(seq[0], F_GETFD) == FD_CLOEXEC && fcntl(stream[0], F_GETFL) == (O_RDWR | O_NONBLOCK));
  CHECK(take(half[1], text) == 10 && take(half[1], text) == 0 && write(half[1], "answer", 6) == 6 && take(half[0], text) == 6);
  CHECK(send(half[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
  CHECK(take(closed[1], text) == 9 && strcmp(text, "testament") == 0 && take(closed[1], text) == 0);
  CHECK(send(closed[1], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
  CHECK(send(gone[1], "x", 1, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED);
  int size_now = 0;
  CHECK(getsockopt(stream[1], SOL_SOCKET, SO_SNDBUF, &size_now, &length) == 0 && size_now == size);
  length = sizeof is_time;
  CHECK(getsockopt(seq[0], SOL_SOCKET, SO_RCVTIMEO, &is_time, &length) == 0 && memcmp(&is_time, &wait_time, sizeof is_time) == 0);
  struct ucred peer;
  length = sizeof peer;
  CHECK(getsockopt(stream[0], SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == getpid() && peer.uid == geteuid());
  size_t out = 0;
  for (ssize_t n; (n = read(full[1], block, sizeof block)) > 0;) out += (size_t)n;
  CHECK(out == in_full && errno == EAGAIN);
  CHECK(send(loner, "x", 1, MSG_NOSIGNAL) < 0 && errno == ENOTCONN);
  CHECK(write(child_pair[0], "ping", 4) == 4 && epoll_wait(epoll, &event, 1, 10000) == 1 && event.data.u64 == 7);
  CHECK(take(child_pair[0], text) == 4 && strcmp(text, "ping") == 0);
  int status;
  close(child_pair[0]);
  CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5);
  return done();
}
