#include "launcher/top/screen.h"

#define NCURSES_NOMACROS 1  // they would rename functions of ours: timeout, erase, move
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <fmt/format.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <stdexcept>

namespace drover::top {

namespace {

enum Pair : short { kGreen = 1, kYellow, kRed, kCyan, kOnGreen, kOnCyan };

// Our text is UTF-8 whatever the locale, as in every other command; bars are drawn in what the terminal surely shows.
bool set_locale() {
  std::setlocale(LC_ALL, "");
  const bool utf8 = std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;
  if (!utf8) std::setlocale(LC_CTYPE, "C.UTF-8");
  return utf8;
}

// True if there are any.
bool start_colours() {
  const char* none = std::getenv("NO_COLOR");
  if ((none != nullptr && *none != '\0') || !::has_colors()) return false;
  ::start_color();
  const short back = ::use_default_colors() == OK ? -1 : COLOR_BLACK;
  ::init_pair(kGreen, COLOR_GREEN, back);
  ::init_pair(kYellow, COLOR_YELLOW, back);
  ::init_pair(kRed, COLOR_RED, back);
  ::init_pair(kCyan, COLOR_CYAN, back);
  ::init_pair(kOnGreen, COLOR_BLACK, COLOR_GREEN);
  return ::init_pair(kOnCyan, COLOR_BLACK, COLOR_CYAN) == OK;
}

attr_t attributes(Style style, bool colours) {
  const auto pick = [&](Pair pair, attr_t without) -> attr_t { return colours ? COLOR_PAIR(pair) : without; };
  switch (style) {
    case Style::Plain:
      return A_NORMAL;
    case Style::Bold:
      return A_BOLD;
    case Style::Marked:
      return A_BOLD | A_UNDERLINE;
    case Style::Dim:
    case Style::Bar:
      return A_DIM;
    case Style::Green:
      return pick(kGreen, A_NORMAL);
    case Style::Yellow:
      return pick(kYellow, A_NORMAL);
    case Style::Red:
      return pick(kRed, A_BOLD);
    case Style::Cyan:
      return pick(kCyan, A_NORMAL);
    case Style::Heading:
      return pick(kOnGreen, A_BOLD | A_UNDERLINE);
    case Style::Selected:
      return pick(kOnCyan, A_REVERSE);
  }
  return A_NORMAL;
}

std::optional<Key> special(wint_t code) {
  using Kind = Key::Kind;
  switch (code) {
    case KEY_UP:
      return Key{Kind::Up};
    case KEY_DOWN:
      return Key{Kind::Down};
    case KEY_PPAGE:
      return Key{Kind::PageUp};
    case KEY_NPAGE:
      return Key{Kind::PageDown};
    case KEY_HOME:
      return Key{Kind::Home};
    case KEY_END:
      return Key{Kind::End};
    case KEY_ENTER:
      return Key{Kind::Enter};
    case KEY_BTAB:
      return Key{Kind::Tab};
    case KEY_BACKSPACE:
      return Key{Kind::Backspace};
    default:
      return Key{Kind::Other};
  }
}

Key typed(wint_t code) {
  using Kind = Key::Kind;
  if (code == '\n' || code == '\r') return {Kind::Enter};
  if (code == '\t') return {Kind::Tab};
  if (code == 0x1b) return {Kind::Escape};
  if (code == 0x7f || code == '\b') return {Kind::Backspace};
  std::mbstate_t state{};
  char bytes[MB_LEN_MAX];
  const std::size_t length = std::wcrtomb(bytes, static_cast<wchar_t>(code), &state);
  if (length == static_cast<std::size_t>(-1)) return {Kind::Other};
  return {Kind::Text, std::string(bytes, length)};
}

}  // namespace

Screen::Screen() : wide_characters_(set_locale()) {
  const char* terminal = std::getenv("TERM");
  if (::newterm(nullptr, stdout, stdin) == nullptr)
    throw std::runtime_error(fmt::format("top: the terminal '{}' ($TERM) can't be drawn on; try: drover top --once",
                                         terminal == nullptr ? "" : terminal));
  ::cbreak();
  ::noecho();
  ::nonl();
  ::keypad(::stdscr, true);
  ::nodelay(::stdscr, true);
  ::set_escdelay(25);
  ::curs_set(0);
  colours_ = start_colours();
}

Screen::~Screen() { ::endwin(); }

std::size_t Screen::width() const { return static_cast<std::size_t>(::getmaxx(::stdscr)); }
std::size_t Screen::height() const { return static_cast<std::size_t>(::getmaxy(::stdscr)); }

void Screen::show(const std::vector<Line>& lines) {
  ::erase();
  for (std::size_t row = 0; row < lines.size() && row < height(); ++row) {
    ::move(static_cast<int>(row), 0);
    for (const Span& span : lines[row].spans()) {
      ::attrset(static_cast<int>(attributes(span.style, colours_)));
      ::addstr(span.text.c_str());
    }
  }
  ::attrset(A_NORMAL);
  ::refresh();
}

std::optional<Key> Screen::key() {
  wint_t code = 0;
  const int kind = ::get_wch(&code);
  if (kind == ERR) return std::nullopt;
  return kind == KEY_CODE_YES ? special(code) : typed(code);
}

void Screen::resize() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
    ::resizeterm(size.ws_row, size.ws_col);
}

void Screen::draw_anew() { ::clearok(::curscr, true); }

void Screen::step_aside() { ::endwin(); }

}  // namespace drover::top
