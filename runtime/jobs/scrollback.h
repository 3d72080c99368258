// The last of what was written to a job's terminal, for whoever begins to look at it.
#pragma once

#include <string>
#include <string_view>

#include "runtime/control/screen_modes.h"

namespace drover {

class Scrollback {
 public:
  void append(std::string_view output);
  std::size_t size() const { return bytes_.size(); }
  // Brings a terminal into the state in which bytes() begins.
  std::string modes() const { return before_.enter(); }
  // From the beginning of a character, outside of control sequences; nothing in it makes a terminal answer.
  std::string bytes() const { return without_questions(bytes_); }

 private:
  std::string bytes_;
  ScreenModes before_;  // after all that has been dropped
};

}  // namespace drover
