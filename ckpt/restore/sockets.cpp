#include "ckpt/restore/sockets.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "ckpt/image/error.h"
#include "ckpt/sys/error.h"

namespace drover {

UniqueFd make_socket(int type) { return UniqueFd(check(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0), "socket")); }

// A socket remembers the process that made it, even when that is gone: so a child of the wanted id makes the pair, in a
// descriptor table that it shares with us.
static bool make_pair_as(int type, pid_t creator, int (&ends)[2]) {
  struct Answer {
    int ends[2];
    int error;
  };
  void* const page = ::mmap(nullptr, sizeof(Answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  auto* const answer = static_cast<Answer*>(page);
  answer->error = ESRCH;
  clone_args args{};
  args.flags = CLONE_FILES;
  args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<std::uintptr_t>(&creator);
  args.set_tid_size = 1;
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (pid == 0) {
    answer->error = ::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, answer->ends) == 0 ? 0 : errno;
    ::_exit(0);
  }
  if (pid > 0) ::waitpid(pid, nullptr, 0);
  const bool made = pid > 0 && answer->error == 0;
  if (made) ends[0] = answer->ends[0], ends[1] = answer->ends[1];
  ::munmap(page, sizeof(Answer));
  return made;
}

std::pair<UniqueFd, UniqueFd> make_socket_pair(int type, pid_t creator) {
  int ends[2];
  const bool made = creator > 0 && make_pair_as(type, creator, ends);
  if (!made) check(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "socketpair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

template <class T>
static void set(int socket, int option, const T& value, const char* name) {
  check(::setsockopt(socket, SOL_SOCKET, option, &value, sizeof value), "setsockopt", name);
}

// Room enough for the whole queue while it is filled; the program's own size comes after it.
void fill_socket(int through, const SocketState& other_end) {
  constexpr int kRoom = 1 << 30;  // the kernel gives as much of it as it may (net.core.wmem_max)
  if (::setsockopt(through, SOL_SOCKET, SO_SNDBUFFORCE, &kRoom, sizeof kRoom) != 0)
    set(through, SO_SNDBUF, kRoom, "SO_SNDBUF");
  for (const auto& message : other_end.queue) {
    const ssize_t n = ::send(through, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (check(n, "fill a unix socket") != static_cast<ssize_t>(message.size()))
      throw ImageError("damaged image: more in a socket than fits");
  }
}

// What is told is twice what was asked for (socket(7)).
static void set_buffer(int socket, int option, std::uint32_t told, const char* name) {
  const int half = static_cast<int>(std::min<std::uint32_t>(told, 1U << 30) / 2);
  set(socket, option, half, name);
}

static timeval to_timeval(std::int64_t us) { return {us / 1'000'000, us % 1'000'000}; }

void set_up_socket(int socket, const OpenFileState& file) {
  const SocketState& state = *file.socket;
  set_buffer(socket, SO_SNDBUF, state.send_bytes, "SO_SNDBUF");
  set_buffer(socket, SO_RCVBUF, state.receive_bytes, "SO_RCVBUF");
  if (state.low_water != 1) set(socket, SO_RCVLOWAT, state.low_water, "SO_RCVLOWAT");
  if (state.peek_offset != -1) set(socket, SO_PEEK_OFF, state.peek_offset, "SO_PEEK_OFF");
  if (state.pass_credentials) set(socket, SO_PASSCRED, 1, "SO_PASSCRED");
  if (state.send_timeout_us > 0) set(socket, SO_SNDTIMEO, to_timeval(state.send_timeout_us), "SO_SNDTIMEO");
  if (state.receive_timeout_us > 0) set(socket, SO_RCVTIMEO, to_timeval(state.receive_timeout_us), "SO_RCVTIMEO");
  if ((state.shut_down & 1) != 0) ::shutdown(socket, SHUT_RD);
  if ((state.shut_down & 2) != 0) ::shutdown(socket, SHUT_WR);
  check(::fcntl(socket, F_SETFL, file.flags & (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)), "F_SETFL", "socket");
}

}  // namespace drover
