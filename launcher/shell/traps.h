// What is to be run when a signal comes, or at the shell's end (the builtin trap).
//
// A handler only notes that its signal came: the shell looks between two commands, and runs the action then.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace drover::shell {

// By number or by name, with SIG or without, in any case; EXIT is 0. Throws std::runtime_error.
int signal_number(std::string name);
std::string signal_name(int signal);  // "EXIT", "INT"

class Traps {
 public:
  static constexpr int kExit = 0;

  // An empty action: the signal is ignored, by programs too. `keeps_ignored`: what was ignored when the shell began
  // stays so, as in a script. Throws std::runtime_error for one that nobody can catch.
  void set(int signal, const std::string& action, bool keeps_ignored);
  void reset(int signal);
  const std::map<int, std::string>& shown() const { return subshell_ ? parents_ : actions_; }

  // A signal that has come, and its action; no action: the shell is to end by it, after the action of EXIT.
  struct Due {
    int signal;
    std::optional<std::string> action;
  };
  std::optional<Due> take();
  static int pending();  // the first that has come; 0: none
  bool is_fatal_pending() const;
  std::optional<std::string> take_exit();

  // In a child: what is ignored stays, all else is as usual.
  void enter_subshell();

 private:
  void catch_signal(int signal);
  void watch_fatal(bool watch);

  std::map<int, std::string> actions_, parents_;
  std::map<int, struct sigaction> before_;  // what we have changed
  bool subshell_ = false;                   // `trap` alone prints its parent's until there is another
};

}  // namespace drover::shell
