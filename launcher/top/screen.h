// The terminal, by ncurses: what has changed is written and nothing else, and all is given back at the end.
#pragma once

#include <optional>
#include <vector>

#include "launcher/top/controls.h"
#include "launcher/top/styled_text.h"

namespace drover::top {

class Screen {
 public:
  // Throws std::runtime_error if $TERM names no terminal that can do this. There is one at a time.
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  std::size_t width() const;
  std::size_t height() const;
  bool wide_characters() const { return wide_characters_; }
  void show(const std::vector<Line>& lines);
  // A key that has been typed; never waits.
  std::optional<Key> key();
  void resize();      // after SIGWINCH
  void draw_anew();   // whatever somebody else has written
  void step_aside();  // gives the terminal back until resize()

 private:
  bool wide_characters_ = false, colours_ = false;
};

}  // namespace drover::top
