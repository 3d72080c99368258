// Lines of a screen as values: text with the part that each piece plays. What the parts look like is for screen.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace drover::top {

enum class Style { Plain, Bold, Dim, Green, Yellow, Red, Cyan, Bar, Heading, Selected, Marked };

struct Span {
  std::string text;
  Style style = Style::Plain;
  bool operator==(const Span&) const = default;
};

class Line {
 public:
  Line() = default;
  explicit Line(std::string text, Style style = Style::Plain) { add(std::move(text), style); }

  Line& add(std::string text, Style style = Style::Plain);  // control characters are replaced
  Line& add(const Line& more);
  // Exactly so many columns: cut with "…", or filled with blanks in the style of `fill`.
  void fit(std::size_t columns, Style fill = Style::Plain);
  void set_style(Style style);  // of all of it
  void mark();                  // its first piece
  // Puts `over` into it, from the column `at` on.
  void lay_over(std::size_t at, const Line& over);

  const std::vector<Span>& spans() const { return spans_; }
  std::size_t width() const;
  std::string text() const;  // without styles
  bool empty() const { return spans_.empty(); }

 private:
  std::vector<Span> spans_;
};

// So many columns, filled up with blanks; cut if it is too long.
std::string left(const std::string& text, std::size_t columns);
std::string right(const std::string& text, std::size_t columns);

}  // namespace drover::top
