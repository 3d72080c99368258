#include "launcher/run/local_terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ckpt/sys/error.h"
#include "launcher/commands/commands.h"

namespace drover {

void LocalTerminal::require(const char* command) {
  if (::isatty(STDIN_FILENO) != 0) return;
  throw UsageError(
      fmt::format("{}: stdin is not a terminal; without one there are: drover run (without --terminal), "
                  "drover submit, drover logs",
                  command));
}

LocalTerminal::LocalTerminal(const std::string& detach_keys) : keys_(detach_keys) {
  check(::tcgetattr(STDIN_FILENO, &saved_), "tcgetattr", "stdin");
}

LocalTerminal::~LocalTerminal() { leave(); }

nlohmann::json LocalTerminal::size() {
  winsize size{};
  ::ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
  return {{"rows", size.ws_row}, {"columns", size.ws_col}};
}

void LocalTerminal::enter() {
  if (raw_) return;
  termios raw = saved_;
  ::cfmakeraw(&raw);
  check(::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw), "tcsetattr", "stdin");
  raw_ = true;
}

void LocalTerminal::leave() noexcept {
  if (!raw_) return;
  raw_ = false;
  // From the background it would stop us (SIGTTOU); then the shell has its own modes set.
  if (::tcgetpgrp(STDIN_FILENO) != ::getpgrp()) return;
  write(screen_.leave());
  ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_);  // not after what is to be written: a terminal may be stopped
}

void LocalTerminal::write(const std::string& text) {
  screen_.see(text);
  if (!text.empty() && ::isatty(STDOUT_FILENO) != 0) [[maybe_unused]]
    const ssize_t ignored = ::write(STDOUT_FILENO, text.data(), text.size());
}

}  // namespace drover
