// What a program's output does to the terminal that shows it, as far as somebody who comes later, or leaves, must know.
//
// Output is a stream of text and control sequences (ECMA-48). Private modes, such as the alternate screen, hidden
// cursor, mouse reports and bracketed paste, stay on until they are switched off: whoever begins to show the stream in
// its middle has to be told of them, and whoever stops there has to switch them off. Colours and contents are not
// followed: programs draw them again.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace drover {

// Finds where control sequences begin and end, in output that comes in pieces.
class SequenceScanner {
 public:
  // True if `byte` ends a control sequence, which is then sequence().
  bool take(char byte);
  // As it was written, from its ESC on; of a very long one only the beginning.
  const std::string& sequence() const { return sequence_; }
  std::size_t length() const { return length_; }  // its real one
  bool between() const { return state_ == State::Text; }

 private:
  enum class State { Text, Escape, Csi, String, StringEscape };
  bool take_escape(char byte);
  void add(char byte);
  State state_ = State::Text;
  std::string sequence_;
  std::size_t length_ = 0;
};

class ScreenModes {
 public:
  void see(std::string_view output);
  std::string enter() const;  // brings a terminal in its usual modes into these
  std::string leave() const;  // and back
  bool between_sequences() const { return scanner_.between(); }

 private:
  void see_sequence(const std::string& sequence);
  SequenceScanner scanner_;
  std::map<int, bool> changed_;  // private modes that are not as usual
  bool keypad_ = false;
};

// Output to show once more, later: what asks the terminal for an answer is overwritten with NULs, which terminals pass
// over; the answer would be typed into a program that no longer waits for it.
std::string without_questions(std::string output);

}  // namespace drover
