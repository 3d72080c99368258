#include "launcher/terminal_text.h"

#include <clocale>
#include <cwchar>
#include <cwctype>

namespace drover {

namespace {

// The C library knows characters by the thread's locale, and people who run under LANG=C name jobs in UTF-8, too. Made
// once, since that reads files.
locale_t utf8_locale() {
  static const locale_t kUtf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return kUtf8;
}

class Utf8Locale {
 public:
  Utf8Locale() : before_(::uselocale(utf8_locale())) {}
  ~Utf8Locale() { ::uselocale(before_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t before_;
};

struct Character {
  std::size_t bytes = 1, columns = 1;
  bool shown = false;  // neither a control character nor a byte that is no UTF-8
};

Character character_at(const std::string& text, std::size_t at) {
  std::mbstate_t state{};
  wchar_t wide = 0;
  const std::size_t bytes = std::mbrtowc(&wide, text.data() + at, text.size() - at, &state);
  if (bytes == 0 || bytes > text.size()) return {};  // NUL, invalid (-1) or incomplete (-2)
  const int columns = ::wcwidth(wide);
  if (columns < 0) return {bytes, 1, false};
  return {bytes, static_cast<std::size_t>(columns), true};
}

}  // namespace

std::size_t display_width(const std::string& text) {
  const Utf8Locale locale;
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    columns += character.columns;
    at += character.bytes;
  }
  return columns;
}

std::string cut_to_width(const std::string& text, std::size_t columns) {
  if (display_width(text) <= columns) return text;
  if (columns == 0) return "";
  const Utf8Locale locale;
  std::size_t at = 0;
  for (std::size_t taken = 1; at < text.size();) {  // 1: the ellipsis
    const Character character = character_at(text, at);
    taken += character.columns;
    if (taken > columns) break;
    at += character.bytes;
  }
  return text.substr(0, at).append(kEllipsis);
}

std::string printable(const std::string& text) {
  const Utf8Locale locale;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    out += character.shown ? text.substr(at, character.bytes) : "?";
    at += character.bytes;
  }
  return out;
}

}  // namespace drover
