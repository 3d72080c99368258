// Lines typed at a terminal, with editing, history and completion (libedit).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launcher/shell/complete.h"

namespace drover::shell {

class Editor {
 public:
  // History from that file; empty: none is kept. `known`: for completion.
  Editor(std::string history_file, Completions known);
  ~Editor();
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  enum class Result { Line, End, Interrupted, Trapped };
  // `line` without its newline. Interrupted: Ctrl-C. End: Ctrl-D, or the terminal is gone. Trapped: a signal has come
  // that the shell has an action for; what was typed is there again the next time.
  Result read(const std::string& prompt, std::string& line);
  // Kept until the end, and in the file at once.
  void remember(const std::string& line);
  std::vector<std::string> lines() const;  // that the file had
  bool hung_up() const;                    // SIGHUP or SIGTERM came

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover::shell
