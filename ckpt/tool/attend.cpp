#include "ckpt/tool/attend.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>

#include "ckpt/sys/error.h"

namespace drover {

static int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

// Reaps whatever else there is (as PID 1 must).
static std::optional<int> reap(pid_t root) {
  for (int status = 0;;) {
    const pid_t ended = ::waitpid(-1, &status, WNOHANG);
    if (ended == root) return exit_code(status);
    if (ended < 0 && errno == ECHILD) return 1;
    if (ended == 0 || (ended < 0 && errno != EINTR)) return std::nullopt;
  }
}

static sigset_t taken_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGWINCH, SIGHUP, SIGINT, SIGTERM}) sigaddset(&set, signal);
  return set;
}

namespace {

// Our own terminal passes every key on as it is, and is put back.
class RawTerminal {
 public:
  RawTerminal() : is_terminal_(::tcgetattr(STDIN_FILENO, &saved_) == 0) {
    if (!is_terminal_) return;
    termios raw = saved_;
    ::cfmakeraw(&raw);
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  ~RawTerminal() {
    if (is_terminal_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios saved_{};
  bool is_terminal_;
};

class Attendant {
 public:
  Attendant(pid_t root, UniqueFd terminal) : root_(root), terminal_(std::move(terminal)) {
    const sigset_t set = taken_signals();
    signals_.reset(check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
    pass_size();
  }

  int run() {
    for (;;) {
      if (const auto code = reap(root_)) {
        show_output();
        return *code;
      }
      wait();
    }
  }

 private:
  void pass_size() const {
    winsize size{};
    if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) ::ioctl(terminal_.get(), TIOCSWINSZ, &size);
  }

  void wait() {
    constexpr int kAgainMs = 100;
    const bool has_typed = !typed_.empty(), may_read = terminal_ && !input_ended_ && !has_typed;
    pollfd fds[] = {{signals_.get(), POLLIN, 0},
                    {unused_ ? -1 : terminal_.get(), static_cast<short>(has_typed ? POLLIN | POLLOUT : POLLIN), 0},
                    {may_read ? STDIN_FILENO : -1, POLLIN, 0}};
    if (::poll(fds, 3, unused_ ? kAgainMs : -1) < 0) return;
    if (unused_ || fds[1].revents != 0) show_output();
    if (fds[2].revents != 0) read_keys();
    type_keys();
    if ((fds[0].revents & POLLIN) != 0) take_signals();
  }

  void take_signals() {
    for (signalfd_siginfo info{}; ::read(signals_.get(), &info, sizeof info) == sizeof info;) {
      const auto signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGWINCH)
        pass_size();
      else if (signal == SIGHUP && terminal_)
        hang_up();
      else if (signal != SIGCHLD)
        ::kill(root_, signal);
    }
  }

  void hang_up() {
    terminal_.reset();
    typed_.clear();
    unused_ = false;
  }

  // EIO while nobody has the slave open: somebody may open it again, which poll() does not tell.
  void show_output() {
    if (!terminal_) return;
    std::array<char, 4096> bytes;
    ssize_t n = 0;
    while ((n = ::read(terminal_.get(), bytes.data(), bytes.size())) > 0) {
      for (ssize_t done = 0, now = 0;
           done < n && (now = ::write(STDOUT_FILENO, bytes.data() + done, static_cast<std::size_t>(n - done))) > 0;)
        done += now;
    }
    unused_ = n < 0 && errno == EIO;
  }

  void read_keys() {
    std::array<char, 1024> keys;
    const ssize_t n = ::read(STDIN_FILENO, keys.data(), keys.size());
    if (n > 0) typed_.assign(keys.data(), static_cast<std::size_t>(n));
    input_ended_ = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
  }

  void type_keys() {
    if (typed_.empty()) return;
    const ssize_t n = ::write(terminal_.get(), typed_.data(), typed_.size());
    if (n > 0) typed_.erase(0, static_cast<std::size_t>(n));
    if (n < 0 && errno != EAGAIN && errno != EINTR) typed_.clear();
  }

  pid_t root_;
  UniqueFd terminal_;
  UniqueFd signals_;
  std::string typed_;
  bool input_ended_ = false;
  bool unused_ = false;  // nobody has the slave open
};

}  // namespace

void block_signals() {
  const sigset_t set = taken_signals();
  check(::sigprocmask(SIG_BLOCK, &set, nullptr), "sigprocmask");
}

int attend(pid_t root, UniqueFd terminal) {
  std::optional<RawTerminal> raw;
  if (terminal) raw.emplace();
  return Attendant(root, std::move(terminal)).run();
}

bool send_terminal(int socket, pid_t root, int terminal) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof terminal)] = {};
  iovec vector{&root, sizeof root};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (terminal >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof terminal);
    std::memcpy(CMSG_DATA(head), &terminal, sizeof terminal);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == sizeof root;
}

UniqueFd receive_terminal(int socket, pid_t& root) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec vector{&root, sizeof root};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof root) root = 0;
  int terminal = -1;
  const cmsghdr* const head = CMSG_FIRSTHDR(&message);
  if (head != nullptr && head->cmsg_type == SCM_RIGHTS) std::memcpy(&terminal, CMSG_DATA(head), sizeof terminal);
  return UniqueFd(terminal);
}

}  // namespace drover
