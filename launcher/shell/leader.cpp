#include "launcher/shell/leader.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "launcher/run/session.h"
#include "launcher/shell/tell.h"

namespace drover::shell {

namespace {

class Leader {
 public:
  explicit Leader(char** words) : mark_(stop_mark(words[0])), program_(words + 1) {}

  int run() {
    ::sigfillset(&all_);
    ::sigprocmask(SIG_SETMASK, &all_, nullptr);
    // Whoever delivers a TSTP to a job stops it at once unless it is caught (runtime/shepherd/init_program.cpp).
    std::signal(SIGTSTP, [](int) {});
    child_ = ::fork();
    if (child_ == 0) begin_program();
    if (child_ < 0) {
      tell("drover shell: {}: {}\n", program_[0], std::strerror(errno));
      return 125;
    }
    ::setpgid(child_, child_);
    ::tcsetpgrp(STDOUT_FILENO, child_);
    for (;;) {
      siginfo_t info;
      const int signal = ::sigwaitinfo(&all_, &info);
      if (signal > 0) on_signal(signal);
      if (ended_) return exit_code();
    }
  }

 private:
  [[noreturn]] void begin_program() const {
    ::setpgid(0, 0);
    ::tcsetpgrp(STDOUT_FILENO, ::getpid());
    std::signal(SIGTSTP, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execvp(program_[0], program_);
    const int error = errno;
    tell("drover shell: {}: {}\n", program_[0], std::strerror(error));
    ::_exit(error == ENOENT ? 127 : 126);
  }

  void on_signal(int signal) {
    switch (signal) {
      case SIGCHLD:
        return look_at_child();
      case SIGCONT:
        ::tcsetpgrp(STDOUT_FILENO, child_);
        go_on();
        return;
      case RunSession::kContinueInBackground:
        go_on();
        return;
      case RunSession::kHasTerminal:
        if (!stopped_) ::tcsetpgrp(STDOUT_FILENO, child_);
        return;
      case SIGTSTP:
        // The kernel has dropped a SIGCONT that was under way when this came: whoever sent it waits for the mark.
        if (stopped_) return say_stopped();
        ::kill(-child_, signal);
        return;
      case SIGHUP:
      case SIGTERM:
        ::kill(-child_, signal);
        ::kill(-child_, SIGCONT);
        return;
      case SIGTTOU:
      case SIGTTIN:
        return;
      default:
        ::kill(-child_, signal);
    }
  }

  // A SIGCONT to one that runs would take a Ctrl-Z back that has just been typed.
  void go_on() {
    if (std::exchange(stopped_, false)) ::kill(-child_, SIGCONT);
  }

  void look_at_child() {
    while (::waitpid(child_, &status_, WNOHANG | WUNTRACED) == child_) {
      if (!WIFSTOPPED(status_)) {
        ended_ = true;
        return;
      }
      stopped_ = true;
      ::tcsetpgrp(STDOUT_FILENO, ::getpgrp());
      say_stopped();
    }
  }

  void say_stopped() const {
    [[maybe_unused]] const ssize_t ignored = ::write(STDOUT_FILENO, mark_.data(), mark_.size());
  }

  int exit_code() {
    if (WIFEXITED(status_)) return WEXITSTATUS(status_);
    const int signal = WTERMSIG(status_);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);  // the program's is written already
    std::signal(signal, SIG_DFL);
    sigset_t only;
    ::sigemptyset(&only);
    ::sigaddset(&only, signal);
    ::raise(signal);
    ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
    return 128 + signal;
  }

  std::string mark_;
  char** program_;
  sigset_t all_{};
  pid_t child_ = -1;
  int status_ = 0;
  bool ended_ = false, stopped_ = false;
};

}  // namespace

std::string stop_mark(const std::string& secret) { return "\x1b]6973;drover;" + secret + "\a"; }

int lead(char** words) { return Leader(words).run(); }

}  // namespace drover::shell
