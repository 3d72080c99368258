// The terminal that we were started from, lent to a job: every key goes there untouched. Whatever happens it is put
// back, its modes as they were and the modes of its screen as usual.
#pragma once

#include <termios.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "launcher/run/detach_keys.h"
#include "runtime/control/screen_modes.h"

namespace drover {

class LocalTerminal {
 public:
  // Throws UsageError if stdin is none. `command`: for that.
  static void require(const char* command);

  explicit LocalTerminal(const std::string& detach_keys);
  ~LocalTerminal();
  LocalTerminal(const LocalTerminal&) = delete;
  LocalTerminal& operator=(const LocalTerminal&) = delete;

  DetachKeys& keys() { return keys_; }
  static nlohmann::json size();  // {"rows", "columns"}
  void enter();                  // raw
  void leave() noexcept;
  void shows(std::string_view output) { screen_.see(output); }
  // At once, before any output that is still to be written.
  void write(const std::string& text);

 private:
  DetachKeys keys_;
  ScreenModes screen_;
  termios saved_{};
  bool raw_ = false;
};

}  // namespace drover
