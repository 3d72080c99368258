// Pseudo-terminals whose masters are in the tree: modes, sizes, what was typed and not read, what was written and not
// shown, flow control, packet mode, closed and hung-up ones; a session with its terminal, foreground and stopped groups.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include "tracee.h"

struct pair {
  int master, slave;
  char name[32];
};

static struct pair open_pair(void) {
  struct pair p;
  CHECK((p.master = posix_openpt(O_RDWR | O_NOCTTY)) >= 0 && grantpt(p.master) == 0 && unlockpt(p.master) == 0);
  CHECK(ptsname_r(p.master, p.name, sizeof p.name) == 0 && (p.slave = open(p.name, O_RDWR | O_NOCTTY)) >= 0);
  return p;
}

static void type(struct pair p, const char *keys, size_t count) { CHECK(write(p.master, keys, count) == (ssize_t)count); }

static int is_ready(int fd, short event) {
  struct pollfd ask = {fd, event, 0};
  return poll(&ask, 1, 0) == 1 && (ask.revents & event) != 0;
}

// What one read gives, "" if there is nothing to be had.
static const char *take(int fd) {
  static char text[256];
  memset(text, 0, sizeof text);
  struct pollfd ask = {fd, POLLIN, 0};
  if (poll(&ask, 1, 5000) != 1 || !(ask.revents & POLLIN)) return "";
  ssize_t n = read(fd, text, sizeof text - 1);
  return n < 0 ? "error" : n == 0 ? "end" : text;
}

static int same_modes(const struct termios *a, const struct termios *b) {  // the structure has holes
  return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_cflag == b->c_cflag && a->c_lflag == b->c_lflag &&
         memcmp(a->c_cc, b->c_cc, 19) == 0 && cfgetispeed(a) == cfgetispeed(b) && cfgetospeed(a) == cfgetospeed(b);
}

static int wait_for(pid_t pid, int options) {
  int status = 0;
  return waitpid(pid, &status, options) == pid ? status : -1;
}

// A session with a terminal: a group in the foreground that takes SIGINT, one that was stopped for reading.
struct session {
  struct pair pty;
  pid_t leader;
  int told[2];
};

static void sleep_until_signal(void) {
  signal(SIGINT, SIG_DFL);
  for (;;) pause();
}

int main(void) {
  struct pair lines = open_pair(), raw = open_pair(), stopped = open_pair(), key = open_pair(), closed = open_pair(),
              dead = open_pair(), exclusive = open_pair(), peer = open_pair();
  struct termios modes, is;
  CHECK(tcgetattr(lines.slave, &modes) == 0);
  modes.c_lflag &= ~(tcflag_t)ECHO;
  modes.c_cc[VERASE] = 'B' - '@';
  modes.c_cc[VEOL] = ';';
  cfsetspeed(&modes, B57600);
  CHECK(tcsetattr(lines.slave, TCSANOW, &modes) == 0 && tcgetattr(lines.slave, &modes) == 0);
  struct winsize size = {33, 101, 640, 480}, is_size;
  CHECK(ioctl(lines.master, TIOCSWINSZ, &size) == 0);
  type(lines, "first\nsec;no end\x04\x04" "abcX\x02", 23);
  CHECK(write(lines.slave, "prompt\n", 7) == 7 && fchmod(lines.slave, 0600) == 0);

  struct termios raw_modes;
  CHECK(tcgetattr(raw.slave, &raw_modes) == 0);
  cfmakeraw(&raw_modes);
  raw_modes.c_cc[VMIN] = 3;
  CHECK(tcsetattr(raw.slave, TCSANOW, &raw_modes) == 0);
  int on = 1;
  CHECK(ioctl(raw.master, TIOCPKT, &on) == 0);
  type(raw, "\x03\x00\x13\x04 bytes", 10);
  CHECK(write(raw.slave, "shown", 5) == 5);

  CHECK(write(stopped.slave, "before", 6) == 6 && tcflow(stopped.slave, TCOOFF) == 0);
  CHECK(tcgetattr(key.slave, &is) == 0 && (is.c_iflag & IXON) != 0);
  type(key, "\x13", 1);
  while (is_ready(key.slave, POLLOUT)) usleep(1000);
  CHECK(write(closed.slave, "last words", 10) == 10 && close(closed.slave) == 0);
  CHECK(close(dead.master) == 0);
  CHECK(ioctl(exclusive.slave, TIOCEXCL) == 0);
  // As openpty(3) does: without a path.
  close(peer.slave);
  CHECK((peer.slave = ioctl(peer.master, TIOCGPTPEER, O_RDWR | O_NOCTTY)) >= 0);

  struct session sessions[2];
  for (int i = 0; i < 2; ++i) {
    struct session *s = &sessions[i];
    s->pty = open_pair();
    CHECK(pipe(s->told) == 0);
    char byte;
    if ((s->leader = fork()) == 0) {
      sigset_t hup;
      sigemptyset(&hup);
      sigaddset(&hup, SIGUSR2);
      sigprocmask(SIG_BLOCK, &hup, NULL);
      int sid = setsid(), tty = -1, status;
      CHECK(sid == getpid() && ioctl(s->pty.slave, TIOCSCTTY, 0) == 0 && (tty = open("/dev/tty", O_RDWR)) >= 0);
      signal(SIGTTOU, SIG_IGN);
      int start[2];
      CHECK(pipe(start) == 0);
      pid_t front = fork();
      if (front == 0) sleep_until_signal();
      pid_t back = fork();
      if (back == 0) {
        CHECK(read(start[0], &byte, 1) == 1);
        _exit(read(tty, &byte, 1) == 1 && byte == 'b' ? 7 : 8);
      }
      CHECK(setpgid(front, front) == 0 && setpgid(back, back) == 0 && tcsetpgrp(tty, front) == 0);
      CHECK(write(start[1], "g", 1) == 1);
      CHECK(WIFSTOPPED(status = wait_for(back, WUNTRACED)) && WSTOPSIG(status) == SIGTTIN);
      if (i == 1) {  // the foreground group ends
        pid_t gone = fork();
        if (gone == 0) sleep_until_signal();
        CHECK(setpgid(gone, gone) == 0 && tcsetpgrp(tty, gone) == 0 && kill(gone, SIGKILL) == 0);
        CHECK(wait_for(gone, 0) == SIGKILL && kill(front, SIGKILL) == 0 && wait_for(front, 0) == SIGKILL);
        front = gone;
      }
      char name[32];
      CHECK(write(s->told[1], "r", 1) == 1);
      sigwaitinfo(&hup, NULL);
      CHECK(tcgetpgrp(tty) == front && tcgetsid(tty) == sid && ttyname_r(s->pty.slave, name, sizeof name) == 0);
      CHECK(strcmp(name, s->pty.name) == 0 && write(tty, "to you", 6) == 6);
      CHECK(fcntl(tty, F_GETFL) == (O_RDWR | 0100000));
      if (i == 0) CHECK((status = wait_for(front, 0)) == SIGINT);
      CHECK(waitpid(back, &status, WNOHANG | WUNTRACED) == 0);  // it is known to be stopped
      CHECK(tcsetpgrp(tty, back) == 0 && kill(-back, SIGCONT) == 0);
      CHECK(WEXITSTATUS(wait_for(back, 0)) == 7);
      _exit(failures == 0 ? 5 : 6);
    }
    CHECK(read(s->told[0], &byte, 1) == 1);
    close(s->pty.slave);
  }

  ready_and_wait();

  CHECK(tcgetattr(lines.slave, &is) == 0 && same_modes(&is, &modes) && cfgetospeed(&is) == B57600);
  CHECK(ioctl(lines.slave, TIOCGWINSZ, &is_size) == 0 && memcmp(&is_size, &size, sizeof size) == 0);
  CHECK(strcmp(take(lines.slave), "first\n") == 0);
  CHECK(strcmp(take(lines.slave), "sec;") == 0);
  CHECK(strcmp(take(lines.slave), "no end") == 0);
  CHECK(strcmp(take(lines.slave), "end") == 0);
  CHECK(!is_ready(lines.slave, POLLIN));
  type(lines, "\x02" "de\n", 4);  // edits what was typed before
  CHECK(strcmp(take(lines.slave), "abde\n") == 0);
  CHECK(strcmp(take(lines.master), "prompt\r\n") == 0 && !is_ready(lines.master, POLLIN));

  char bytes[16];
  CHECK(tcgetattr(raw.slave, &is) == 0 && same_modes(&is, &raw_modes));
  CHECK(read(raw.slave, bytes, sizeof bytes) == 10 && memcmp(bytes, "\x03\x00\x13\x04 bytes", 10) == 0);
  CHECK(read(raw.master, bytes, sizeof bytes) == 6 && memcmp(bytes, "\x00shown", 6) == 0);

  CHECK(strcmp(take(stopped.master), "before") == 0 && !is_ready(stopped.slave, POLLOUT));
  CHECK(tcflow(stopped.slave, TCOON) == 0 && write(stopped.slave, "after", 5) == 5 && strcmp(take(stopped.master), "after") == 0);
  CHECK(!is_ready(key.slave, POLLOUT));
  CHECK(tcflow(key.slave, TCOON) == 0 && !is_ready(key.slave, POLLOUT));  // only VSTART is an answer to VSTOP
  type(key, "\x11", 1);
  CHECK(write(key.slave, "after", 5) == 5 && strcmp(take(key.master), "after") == 0);
  CHECK(strcmp(take(closed.master), "last words") == 0 && read(closed.master, bytes, 1) < 0 && errno == EIO);
  CHECK(read(dead.slave, bytes, 1) == 0 && write(dead.slave, "x", 1) < 0 && errno == EIO);
  CHECK(ioctl(exclusive.slave, TIOCGEXCL, &on) == 0 && on == 1);
  CHECK(fcntl(peer.slave, F_GETFL) == O_RDWR && write(peer.slave, "peer", 4) == 4 && strcmp(take(peer.master), "peer") == 0);

  for (int i = 0; i < 2; ++i) {
    struct session *s = &sessions[i];
    kill(s->leader, SIGUSR2);
    CHECK(strcmp(take(s->pty.master), "to you") == 0);
    if (i == 0) type(s->pty, "\x03", 1);
    usleep(20000);
    type(s->pty, "b\n", 2);
    CHECK(WEXITSTATUS(wait_for(s->leader, 0)) == 5);
  }
  return done();
}
