#include "runtime/control/screen_modes.h"

#include <algorithm>
#include <charconv>

namespace drover {

namespace {

constexpr std::size_t kMostKept = 256;  // of a sequence
constexpr std::size_t kMostModes = 64;

bool is_usually_on(int mode) { return mode == 7 || mode == 25; }  // automatic wrapping, the cursor

bool asks(const std::string& sequence) {
  if (sequence.size() < 3) return false;
  const char kind = sequence[1], last = sequence.back();
  if (kind == 'P') return sequence.compare(2, 2, "$q") == 0 || sequence.compare(2, 2, "+q") == 0;
  if (kind == ']') return sequence.find('?') != std::string::npos;
  if (kind != '[') return false;
  const char first = sequence[2];
  switch (last) {
    case 'c':  // device attributes
    case 'n':  // status, the cursor's place
    case 'x':  // parameters
      return true;
    case 'p':  // DECRQM
      return sequence.find('$') != std::string::npos;
    case 'q':  // version
      return first == '>';
    case 'u':  // keyboard flags
      return first == '?';
    case 't':  // reports on the window
      return first == '1' || first == '2';
    default:
      return false;
  }
}

}  // namespace

void SequenceScanner::add(char byte) {
  if (sequence_.size() < kMostKept) sequence_ += byte;
}

bool SequenceScanner::take_escape(char byte) {
  add(byte);
  if (byte == '[') {
    state_ = State::Csi;
  } else if (byte == ']' || byte == 'P' || byte == '_' || byte == '^' || byte == 'X') {
    state_ = State::String;
  } else if (byte < ' ' || byte > '/') {  // those before are followed by another
    state_ = State::Text;
    return true;
  }
  return false;
}

bool SequenceScanner::take(char byte) {
  constexpr char kEscape = '\x1b', kBell = '\a', kCancel = '\x18', kSubstitute = '\x1a';
  if (byte == kCancel || byte == kSubstitute) {
    state_ = State::Text;
    return false;
  }
  const bool in_string = state_ == State::String || state_ == State::StringEscape;
  if (byte == kEscape && !in_string) {
    state_ = State::Escape;
    sequence_.assign(1, byte);
    length_ = 1;
    return false;
  }
  ++length_;
  switch (state_) {
    case State::Text:
      return false;
    case State::Escape:
      return take_escape(byte);
    case State::Csi:
      if (byte < ' ') return false;  // obeyed at once, and no part of it
      add(byte);
      if (byte < '@') return false;
      break;
    case State::String:
      add(byte);
      if (byte == kEscape) state_ = State::StringEscape;
      if (byte != kBell) return false;
      break;
    case State::StringEscape:
      add(byte);
      if (byte == '\\') break;
      sequence_.assign(1, kEscape);  // cut off by another
      length_ = 2;
      return take_escape(byte);
  }
  state_ = State::Text;
  return true;
}

void ScreenModes::see(std::string_view output) {
  for (const char byte : output)
    if (scanner_.take(byte)) see_sequence(scanner_.sequence());
}

void ScreenModes::see_sequence(const std::string& sequence) {
  if (sequence == "\x1b=" || sequence == "\x1b>") keypad_ = sequence[1] == '=';
  if (sequence ==
      "\x1b"
      "c") {
    changed_.clear();
    keypad_ = false;
  }
  const char last = sequence.back();
  if (sequence.rfind("\x1b[?", 0) != 0 || (last != 'h' && last != 'l')) return;
  const char *at = sequence.data() + 3, *const end = sequence.data() + sequence.size() - 1;
  while (at < end) {
    int mode = 0;
    const auto parsed = std::from_chars(at, end, mode);
    if (parsed.ec != std::errc()) return;
    const bool on = last == 'h';
    if (on == is_usually_on(mode))
      changed_.erase(mode);
    else if (changed_.size() < kMostModes)
      changed_[mode] = on;
    at = parsed.ptr;
    if (at < end && *at++ != ';') return;
  }
}

std::string ScreenModes::enter() const {
  std::string text = keypad_ ? "\x1b=" : "";
  for (const auto& [mode, on] : changed_) text += "\x1b[?" + std::to_string(mode) + (on ? "h" : "l");
  return text;
}

std::string ScreenModes::leave() const {
  std::string text = keypad_ ? "\x1b>" : "";
  for (const auto& [mode, on] : changed_) text += "\x1b[?" + std::to_string(mode) + (on ? "l" : "h");
  return text;
}

std::string without_questions(std::string output) {
  SequenceScanner scanner;
  for (std::size_t i = 0; i < output.size(); ++i) {
    const bool was_text = scanner.between();
    const bool ended = scanner.take(output[i]);
    if (was_text && output[i] == '\x05') output[i] = '\0';  // ENQ
    if (ended && asks(scanner.sequence())) {
      const auto end = output.begin() + static_cast<std::ptrdiff_t>(i) + 1;
      std::fill(end - static_cast<std::ptrdiff_t>(scanner.length()), end, '\0');
    }
  }
  return output;
}

}  // namespace drover
