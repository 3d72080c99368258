// Keys become changes of the view and things to do: pure, so that tests type without a terminal.
#pragma once

#include <optional>
#include <string>

#include "launcher/top/view.h"

namespace drover::top {

struct Key {
  enum class Kind { Text, Up, Down, PageUp, PageDown, Home, End, Enter, Escape, Tab, Backspace, Other };
  Kind kind = Kind::Other;
  std::string text = {};  // of Text: one character, UTF-8
};

// What droverd is asked to do, or this program.
struct Action {
  enum class Kind { Move, Kill, Hold, Release, Drain, Undrain, Refresh, Redraw, Quit };
  Kind kind;
  long job = 0;
  int signal = 0;
  std::string node = {};
};

struct KeyHint {
  const char* key;
  const char* what;
};
// For the last line, the most useful first.
std::vector<KeyHint> key_hints(Pane focus);

class Controls {
 public:
  View& view() { return view_; }
  // Leaves the view settled.
  std::optional<Action> press(const Key& key, const World& world);
  // News of the world, or a new size: the same.
  void settle(const World& world);

 private:
  enum class Question { None, Move, Kill, Drain, Help };
  std::optional<Action> press_in_filter(const Key& key);
  std::optional<Action> press_in_menu(const Key& key);
  std::optional<Action> press_command(const std::string& text, const World& world);
  void go(const Key& key, const World& world);
  void ask_where_to_move(const World& world);
  void ask_which_signal(const World& world);
  void ask_whether_to_drain(const World& world);
  std::optional<Action> hold_or_release(const World& world);
  void ask(Question question, Menu menu);
  std::optional<Action> answer(const Menu::Item& item);
  void say(std::string text);

  View view_;
  Question question_ = Question::None;
  Menu menu_;
  long asked_job_ = 0;  // what the menu is about: the selection may change behind it
  std::string asked_node_;
};

}  // namespace drover::top
