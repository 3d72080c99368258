// UDP sockets, and TCP sockets that listen, are bound or are nothing yet: addresses, options, unread datagrams with
// their senders.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include "tracee.h"

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  CHECK(getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}
static void set(int fd, int level, int name, int value) { CHECK(setsockopt(fd, level, name, &value, sizeof value) == 0); }

static struct sockaddr_in at(in_addr_t host, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(host)};
  return a;
}
static int bound(int type, in_addr_t host) {
  int fd = socket(AF_INET, type, 0);
  struct sockaddr_in a = at(host, 0);
  CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
  return fd;
}
static int port_of(int fd) {
  struct sockaddr_in6 a = {0};
  socklen_t size = sizeof a;
  CHECK(getsockname(fd, (struct sockaddr *)&a, &size) == 0);
  return ntohs(a.sin6_port);  // where sin_port is, too
}
static void send_to(int fd, int port, const char *text) {
  struct sockaddr_in a = at(INADDR_LOOPBACK, port);
  CHECK(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&a, sizeof a) == (ssize_t)strlen(text));
}
static void expect(int fd, const char *text, int from) {
  char got[100] = "";
  struct sockaddr_in a = {0};
  socklen_t size = sizeof a;
  CHECK(recvfrom(fd, got, sizeof got - 1, MSG_DONTWAIT, (struct sockaddr *)&a, &size) == (ssize_t)strlen(text) && strcmp(got, text) == 0);
  CHECK(ntohs(a.sin_port) == from && a.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

int main(void) {
  int one = bound(SOCK_DGRAM, INADDR_LOOPBACK), any = bound(SOCK_DGRAM, INADDR_ANY), peer = bound(SOCK_DGRAM, INADDR_LOOPBACK), fresh = socket(AF_INET, SOCK_DGRAM, 0);
  int ports[3] = {port_of(one), port_of(any), port_of(peer)};
  struct sockaddr_in to = at(INADDR_LOOPBACK, ports[0]);
  send_to(any, ports[0], "from any");
  send_to(peer, ports[0], "from peer");
  int gone = bound(SOCK_DGRAM, INADDR_LOOPBACK), gone_port = port_of(gone);
  send_to(gone, ports[0], "");
  send_to(gone, ports[1], "from gone");
  close(gone);
  CHECK(connect(peer, (struct sockaddr *)&to, sizeof to) == 0);
  int dual = socket(AF_INET6, SOCK_DGRAM, 0);
  struct sockaddr_in6 all = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
  CHECK(bind(dual, (struct sockaddr *)&all, sizeof all) == 0);
  int dual_port = port_of(dual);
  send_to(one, dual_port, "to dual");
  set(any, SOL_SOCKET, SO_BROADCAST, 1);
  set(any, IPPROTO_IP, IP_TTL, 9);
  set(any, SOL_SOCKET, SO_RCVBUF, 30000);
  int buffer = option(any, SOL_SOCKET, SO_RCVBUF);
  set(any, SOL_SOCKET, SO_PRIORITY, 3);

  int listener = bound(SOCK_STREAM, INADDR_LOOPBACK), tcp_port = port_of(listener);
  set(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(listener, IPPROTO_TCP, TCP_NODELAY, 1);
  set(listener, IPPROTO_TCP, TCP_KEEPIDLE, 77);
  CHECK(listen(listener, 3) == 0);
  int listener6 = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
  set(listener6, SOL_SOCKET, SO_REUSEADDR, 1);
  set(listener6, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  struct linger linger = {1, 5};
  CHECK(setsockopt(listener6, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
  CHECK(bind(listener6, (struct sockaddr *)&all, sizeof all) == 0 && listen(listener6, 100) == 0);
  int tcp6_port = port_of(listener6);
  int shared[2] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0)};
  struct sockaddr_in common = at(INADDR_LOOPBACK, 0);
  for (int i = 0; i < 2; ++i) {
    set(shared[i], SOL_SOCKET, SO_REUSEPORT, 1);
    CHECK(bind(shared[i], (struct sockaddr *)&common, sizeof common) == 0 && listen(shared[i], 1) == 0);
    common.sin_port = htons((uint16_t)port_of(shared[i]));
  }
  int only_bound = bound(SOCK_STREAM, INADDR_LOOPBACK), bound_port = port_of(only_bound), nothing = socket(AF_INET6, SOCK_STREAM, 0);

  ready_and_wait();

  expect(one, "from any", ports[1]);
  expect(one, "from peer", ports[2]);
  expect(one, "", gone_port);
  expect(any, "from gone", gone_port);
  CHECK(port_of(one) == ports[0] && port_of(any) == ports[1] && port_of(peer) == ports[2] && port_of(fresh) == 0);
  CHECK(send(peer, "connected", 9, 0) == 9);
  expect(one, "connected", ports[2]);
  send_to(any, ports[2], "not for it");
  char text[100];
  CHECK(recv(peer, text, sizeof text, MSG_DONTWAIT) < 0 && errno == EAGAIN);
  struct sockaddr_in6 from;
  socklen_t size = sizeof from;
  CHECK(recvfrom(dual, text, sizeof text, MSG_DONTWAIT, (struct sockaddr *)&from, &size) == 7 && IN6_IS_ADDR_V4MAPPED(&from.sin6_addr) && ntohs(from.sin6_port) == ports[0]);
  CHECK(option(any, SOL_SOCKET, SO_BROADCAST) == 1 && option(any, IPPROTO_IP, IP_TTL) == 9 && option(any, SOL_SOCKET, SO_RCVBUF) == buffer);
  CHECK(option(any, SOL_SOCKET, SO_PRIORITY) == 3 && option(one, IPPROTO_IP, IP_TTL) == option(fresh, IPPROTO_IP, IP_TTL));

  CHECK(port_of(listener) == tcp_port && port_of(only_bound) == bound_port && port_of(listener6) == tcp6_port);
  struct tcp_info info;
  size = sizeof info;
  CHECK(getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_sacked == 3);
  to = at(INADDR_LOOPBACK, tcp_port);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(connect(client, (struct sockaddr *)&to, sizeof to) == 0);
  int server = accept(listener, NULL, NULL);
  CHECK(write(server, "tcp", 3) == 3 && read(client, text, 3) == 3);
  CHECK(option(server, SOL_SOCKET, SO_KEEPALIVE) == 1 && option(server, IPPROTO_TCP, TCP_NODELAY) == 1 && option(server, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
  size = sizeof linger;
  memset(&linger, 0, sizeof linger);
  CHECK(option(listener6, IPPROTO_IPV6, IPV6_V6ONLY) == 1 && option(listener6, SOL_SOCKET, SO_REUSEADDR) == 1 && option(listener, SOL_SOCKET, SO_REUSEADDR) == 0);
  CHECK(getsockopt(listener6, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 && linger.l_onoff == 1 && linger.l_linger == 5);
  CHECK(accept(listener6, NULL, NULL) < 0 && errno == EAGAIN);
  CHECK(option(shared[0], SOL_SOCKET, SO_REUSEPORT) == 1 && port_of(shared[0]) == port_of(shared[1]));
  int reached = 0;
  for (int i = 0; i < 30 && reached != 3; ++i) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&common, sizeof common) == 0);
    for (int k = 0; k < 2; ++k) {
      struct pollfd ask = {shared[k], POLLIN, 0};
      if (poll(&ask, 1, 0) != 1) continue;
      reached |= 1 << k;
      close(accept(shared[k], NULL, NULL));
    }
    close(fd);
  }
  CHECK(reached == 3 && listen(only_bound, 1) == 0);
  all.sin6_addr = in6addr_loopback;
  all.sin6_port = htons((uint16_t)tcp6_port);
  CHECK(connect(nothing, (struct sockaddr *)&all, sizeof all) == 0);
  return done();
}
