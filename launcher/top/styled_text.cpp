#include "launcher/top/styled_text.h"

#include <algorithm>

#include "launcher/terminal_text.h"

namespace drover::top {

namespace {

// What is left of `text` after its first `columns`; half of a wide character becomes a blank.
std::string without_first(const std::string& text, std::size_t columns) {
  std::size_t at = 0, taken = 0;
  while (at < text.size() && taken < columns) {
    std::size_t next = at + 1;
    while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xc0U) == 0x80) ++next;
    taken += display_width(text.substr(at, next - at));
    at = next;
  }
  return std::string(taken - std::min(taken, columns), ' ') + text.substr(at);
}

std::string only_first(const std::string& text, std::size_t columns) {
  std::string out;
  std::size_t at = 0, taken = 0;
  while (at < text.size()) {
    std::size_t next = at + 1;
    while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xc0U) == 0x80) ++next;
    const std::size_t width = display_width(text.substr(at, next - at));
    if (taken + width > columns) break;
    out += text.substr(at, next - at);
    taken += width;
    at = next;
  }
  return out + std::string(columns - std::min(columns, taken), ' ');
}

}  // namespace

Line& Line::add(std::string text, Style style) {
  if (text.empty()) return *this;
  text = printable(text);
  if (!spans_.empty() && spans_.back().style == style)
    spans_.back().text += text;
  else
    spans_.push_back({std::move(text), style});
  return *this;
}

Line& Line::add(const Line& more) {
  for (const Span& span : more.spans_) add(span.text, span.style);
  return *this;
}

void Line::fit(std::size_t columns, Style fill) {
  std::vector<Span> before = std::move(spans_);
  spans_.clear();
  std::size_t left_over = columns;
  for (std::size_t i = 0; i < before.size() && left_over > 0; ++i) {
    const std::size_t width = display_width(before[i].text);
    const bool last_shown = width > left_over || (width == left_over && i + 1 < before.size());
    std::string text = before[i].text;
    if (last_shown && width == left_over) text += ' ';  // so that it is cut, too
    if (last_shown) text = cut_to_width(text, left_over);
    left_over -= display_width(text);
    add(std::move(text), before[i].style);
    if (last_shown) break;
  }
  if (left_over > 0) add(std::string(left_over, ' '), fill);
}

void Line::set_style(Style style) {
  std::string all = text();
  spans_.clear();
  add(std::move(all), style);
}

void Line::mark() {
  if (!spans_.empty()) spans_.front().style = Style::Marked;
}

void Line::lay_over(std::size_t at, const Line& over) {
  const std::size_t end = at + over.width();
  const std::vector<Span> before = std::move(spans_);
  Line out, rest;
  std::size_t column = 0;
  for (const Span& span : before) {
    const std::size_t width = display_width(span.text);
    if (column < at) out.add(only_first(span.text, std::min(width, at - column)), span.style);
    if (column + width > end) rest.add(without_first(span.text, end - std::min(end, column)), span.style);
    column += width;
  }
  if (column < at) out.add(std::string(at - column, ' '));
  spans_ = std::move(out.spans_);
  add(over).add(rest);
}

std::size_t Line::width() const {
  std::size_t width = 0;
  for (const Span& span : spans_) width += display_width(span.text);
  return width;
}

std::string Line::text() const {
  std::string out;
  for (const Span& span : spans_) out += span.text;
  return out;
}

std::string left(const std::string& text, std::size_t columns) {
  const std::string cut = cut_to_width(printable(text), columns);
  return cut + std::string(columns - std::min(columns, display_width(cut)), ' ');
}

std::string right(const std::string& text, std::size_t columns) {
  const std::string cut = cut_to_width(printable(text), columns);
  return std::string(columns - std::min(columns, display_width(cut)), ' ') + cut;
}

}  // namespace drover::top
