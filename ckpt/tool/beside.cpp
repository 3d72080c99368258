#include "ckpt/tool/beside.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>

#include "ckpt/sys/error.h"

namespace drover {

static bool send_byte(int socket, char byte) { return ::send(socket, &byte, 1, MSG_NOSIGNAL) == 1; }

// 0: nobody sends any more.
static char receive_byte(int socket) {
  char byte = 0;
  ssize_t n = 0;
  while ((n = ::recv(socket, &byte, 1, 0)) < 0 && errno == EINTR) {
  }
  return n == 1 ? byte : '\0';
}

namespace {
constexpr char kKeep = 'd', kKept = 'k', kLeft = 'l';
}

// It is kept here if it can be: that saves the others two wakeups, which in a virtual machine take 0.1 ms, while the
// tree stands still.
bool Beside::done() {
  if (inside_) return send_byte(socket_.get(), kKeep) && receive_byte(socket_.get()) == kKept;
  char byte = 0;
  if (::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) == 0) return false;  // the command was killed
  keep_();
  send_byte(socket_.get(), kKept);
  return true;
}

void Beside::leave() {
  std::fflush(nullptr);
  send_byte(socket_.get(), kLeft);
  socket_.reset();
  leave_terminal();
}

void leave_terminal() {
  ::setsid();  // fails for who leads a session: it has no terminal of the command's
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  ::close_range(3, ~0U, 0);
}

bool run_beside(const std::function<void(Beside&)>& work, const std::function<void()>& keep) {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
  UniqueFd ours(ends[0]), theirs(ends[1]);
  if (check(::fork(), "fork") == 0) {
    ours.reset();
    try {
      Beside beside(std::move(theirs), keep);
      work(beside);
    } catch (const std::exception& error) {
      fmt::print(stderr, "drover-ckpt: {}\n", error.what());
    }
    ::_exit(0);
  }
  theirs.reset();
  bool kept = false, left = false;
  while (const char said = receive_byte(ours.get())) {
    if (said == kKeep) keep();
    kept |= said == kKept || (said == kKeep && send_byte(ours.get(), kKept));
    left |= said == kLeft;
  }
  if (!kept && !left) fmt::print(stderr, "drover-ckpt: who was to do it has ended before it was done\n");
  return kept;
}

}  // namespace drover
