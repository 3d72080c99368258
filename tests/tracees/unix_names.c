// Unix sockets with names: paths, relative ones too, abstract and chosen by the kernel; listening, with connections that
// wait to be accepted; accepted; bound only; names that lead nowhere any more; who listened and who connected.
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "tracee.h"

struct name {
  struct sockaddr_un address;
  socklen_t size;
};

static struct name make_name(const char *text, size_t length) {
  struct name n = {.address.sun_family = AF_UNIX, .size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)};
  memcpy(n.address.sun_path, text, length);
  return n;
}
static struct name path(const char *text) { return make_name(text, strlen(text) + 1); }

static struct name name_of(int fd, int peer) {
  struct name n;
  memset(&n, 0, sizeof n);
  n.size = sizeof n.address;
  CHECK((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&n.address, &n.size) == 0);
  return n;
}
static int same(struct name a, struct name b) { return a.size == b.size && memcmp(&a.address, &b.address, a.size) == 0; }

static int bound(int type, struct name n) {
  int fd = socket(AF_UNIX, type, 0);
  CHECK(bind(fd, (struct sockaddr *)&n.address, n.size) == 0);
  return fd;
}
static int listening(int type, struct name n, int backlog) {
  int fd = bound(type, n);
  CHECK(listen(fd, backlog) == 0);
  return fd;
}
static int connect_from(int fd, struct name n) {
  CHECK(connect(fd, (struct sockaddr *)&n.address, n.size) == 0);
  return fd;
}
static int connected(int type, struct name n) { return connect_from(socket(AF_UNIX, type, 0), n); }

static struct ucred peer_of(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0);
  return peer;
}

static void expect(int fd, const char *text) {
  char got[100] = "";
  CHECK(recv(fd, got, sizeof got - 1, MSG_DONTWAIT) == (ssize_t)strlen(text) && strcmp(got, text) == 0);
}
static void talk(int one, int other) {
  CHECK(write(one, "to other", 8) == 8 && write(other, "to one", 6) == 6);
  expect(one, "to one");
  expect(other, "to other");
}

// Who connects now reaches whoever listens.
static void reach(int listener, int type, struct name n) {
  int client = connected(type, n), server = accept(listener, NULL, NULL);
  CHECK(server >= 0 && same(name_of(server, 0), n) && same(name_of(client, 1), n));
  talk(client, server);
  close(client), close(server);
}

int main(void) {
  char folder[] = "/tmp/drover-names-XXXXXX", text[100];
  CHECK(mkdtemp(folder) != NULL && chdir(folder) == 0 && mkdir("inner", 0755) == 0 && mkdir("inner/most", 0755) == 0);
  snprintf(text, sizeof text, "%s/inner/listener", folder);
  struct name absolute = path(text);
  int listener = listening(SOCK_STREAM, absolute, 7);
  CHECK(chmod(text, 0640) == 0);

  // Both directions of an accepted connection, and one whose client has a name, too.
  int client = connected(SOCK_STREAM, absolute), server = accept(listener, NULL, NULL);
  CHECK(write(client, "request", 7) == 7 && write(server, "answer", 6) == 6);
  struct name client_name = path("inner/client");
  int named_client = connect_from(bound(SOCK_STREAM, client_name), absolute), its_server = accept(listener, NULL, NULL);
  // Made by a child that has ended.
  int passed[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, passed) == 0);
  pid_t child = fork();
  if (child == 0) {
    int fd = connected(SOCK_STREAM, absolute);
    _exit(write(fd, "testament", 9) == 9 ? 0 : 1);
  }
  int status, of_child = accept(listener, NULL, NULL);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  // Relative to folders that the program has left. Who is not root finds them only if it still has to do with them.
  CHECK(open("inner/most", O_RDONLY | O_DIRECTORY) >= 0);
  struct name relative = path("../most/../relative"), plain = path("plain");
  CHECK(chdir("inner/most") == 0);
  int relative_listener = listening(SOCK_SEQPACKET, relative, 3);
  CHECK(chdir("..") == 0);
  int plain_bound = bound(SOCK_STREAM, plain);
  CHECK(chdir("..") == 0);
  int packets = connect_from(socket(AF_UNIX, SOCK_SEQPACKET, 0), path("inner/relative")), packets_server = accept(relative_listener, NULL, NULL);
  CHECK(send(packets, "one", 3, 0) == 3 && send(packets, "two", 3, 0) == 3);
  // Abstract, with four who wait: the second has said that it will send nothing.
  snprintf(text, sizeof text, "%c%s", 0, folder);
  struct name abstract = make_name(text, 1 + strlen(text + 1));
  int abstract_listener = listening(SOCK_STREAM, abstract, 5), waiting[4];
  for (int i = 0; i < 4; ++i) {
    waiting[i] = connected(SOCK_STREAM, abstract);
    if (i == 1) CHECK(shutdown(waiting[i], SHUT_WR) == 0);
  }
  struct name second = path("inner/second");
  int second_listener = listening(SOCK_STREAM, second, 0), second_waiting = connected(SOCK_STREAM, second);
  // Chosen by the kernel.
  struct name none = make_name("", 0);
  int automatic = bound(SOCK_DGRAM, none);
  struct name automatic_name = name_of(automatic, 0);
  CHECK(automatic_name.size == 2 + 6);
  // The listener is closed and its name unlinked; the other end, too, with something unread: that is an error to tell.
  struct name gone = path("inner/gone");
  int gone_listener = listening(SOCK_STREAM, gone, 1), gone_client = connected(SOCK_STREAM, gone), gone_server = accept(gone_listener, NULL, NULL);
  int reset_client = connected(SOCK_STREAM, gone), reset_server = accept(gone_listener, NULL, NULL);
  CHECK(write(reset_client, "unread", 6) == 6 && write(reset_server, "read", 4) == 4 && close(reset_server) == 0);
  int end_client = connected(SOCK_STREAM, gone), end_server = accept(gone_listener, NULL, NULL);
  CHECK(close(end_client) == 0);
  CHECK(close(gone_listener) == 0 && unlink("inner/gone") == 0);
  // Unlinked, but listening; and renamed.
  snprintf(text, sizeof text, "%s/inner/unlinked", folder);
  struct name unlinked = path(text), renamed = path("inner/before");
  int unlinked_listener = listening(SOCK_STREAM, unlinked, 1);
  CHECK(unlink("inner/unlinked") == 0);
  int renamed_listener = listening(SOCK_STREAM, renamed, 1);
  CHECK(rename("inner/before", "inner/after") == 0);
  // As long as can be: without room for the NUL.
  char longest[109];
  memset(longest, 'l', 108);
  memcpy(longest, folder, strlen(folder));
  longest[strlen(folder)] = '/';
  struct name full = make_name(longest, 108);
  int full_listener = listening(SOCK_STREAM, full, 1);

  ready_and_wait();

  struct stat info;
  snprintf(text, sizeof text, "%s/inner/listener", folder);
  CHECK(stat(text, &info) == 0 && S_ISSOCK(info.st_mode) && (info.st_mode & 07777) == 0640);
  CHECK(same(name_of(listener, 0), absolute) && same(name_of(server, 0), absolute) && same(name_of(client, 1), absolute));
  CHECK(name_of(client, 0).size == 2 && name_of(server, 1).size == 2);
  CHECK(peer_of(client).pid == getpid() && peer_of(server).pid == getpid() && peer_of(of_child).pid == child && peer_of(of_child).uid == geteuid());
  expect(client, "answer");
  expect(server, "request");
  expect(of_child, "testament");
  expect(of_child, "");
  talk(client, server);
  CHECK(same(name_of(its_server, 1), client_name) && same(name_of(its_server, 0), absolute) && same(name_of(named_client, 1), absolute));
  talk(named_client, its_server);
  reach(listener, SOCK_STREAM, absolute);
  CHECK(same(name_of(relative_listener, 0), relative) && same(name_of(packets, 1), relative) && same(name_of(packets_server, 0), relative));
  expect(packets_server, "one");
  expect(packets_server, "two");
  CHECK(chdir("inner/most") == 0);
  reach(relative_listener, SOCK_SEQPACKET, relative);
  CHECK(chdir("..") == 0 && same(name_of(plain_bound, 0), plain) && stat("plain", &info) == 0 && S_ISSOCK(info.st_mode));
  CHECK(listen(plain_bound, 1) == 0);
  reach(plain_bound, SOCK_STREAM, plain);
  CHECK(chdir("..") == 0);
  // In the order in which they came.
  for (int i = 0; i < 4; ++i) {
    int fd = accept(abstract_listener, NULL, NULL);
    CHECK(same(name_of(fd, 0), abstract) && peer_of(fd).pid == getpid() && peer_of(waiting[i]).pid == getpid());
    if (i == 1) {
      expect(fd, "");
      CHECK(write(fd, "still", 5) == 5);
      expect(waiting[i], "still");
    } else {
      talk(waiting[i], fd);
    }
    close(fd);
  }
  reach(abstract_listener, SOCK_STREAM, abstract);
  // How many may wait: one more than listen() was told.
  CHECK(fcntl(second_listener, F_SETFL, O_NONBLOCK) == 0);
  int one_more = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  CHECK(connect(one_more, (struct sockaddr *)&second.address, second.size) < 0 && errno == EAGAIN);
  int fd = accept(second_listener, NULL, NULL);
  talk(fd, second_waiting);
  CHECK(accept(second_listener, NULL, NULL) < 0 && errno == EAGAIN);
  CHECK(same(name_of(automatic, 0), automatic_name));
  CHECK(same(name_of(gone_server, 0), gone) && same(name_of(gone_client, 1), gone) && stat("inner/gone", &info) < 0);
  talk(gone_client, gone_server);
  CHECK(same(name_of(reset_client, 1), gone));
  expect(reset_client, "read");
  CHECK(recv(reset_client, text, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET);
  CHECK(recv(end_server, text, 1, MSG_DONTWAIT) == 0);
  CHECK(same(name_of(unlinked_listener, 0), unlinked) && stat("inner/unlinked", &info) < 0);
  CHECK(same(name_of(renamed_listener, 0), renamed) && stat("inner/before", &info) < 0);
  fd = connected(SOCK_STREAM, path("inner/after"));
  CHECK(same(name_of(fd, 1), renamed));
  int accepted = accept(renamed_listener, NULL, NULL);
  talk(fd, accepted);
  fd = connected(SOCK_STREAM, full);
  CHECK(name_of(full_listener, 0).size == full.size + 1);
  talk(fd, accept(full_listener, NULL, NULL));

  snprintf(text, sizeof text, "rm -r %s", folder);
  // Nothing of ours lies beside the names.
  CHECK(system("ls -A . inner | grep -c drover >/dev/null") != 0);
  CHECK(system(text) == 0);
  return done();
}
