#include "launcher/top/bars.h"

#include <algorithm>
#include <cmath>

namespace drover::top {

namespace {

struct Glyphs {
  const char *own, *foreign, *mark;
};
constexpr Glyphs kWide = {"█", "▒", "┊"}, kAscii = {"#", ":", "|"};

const Glyphs& glyphs(const BarLook& look) { return look.wide_characters ? kWide : kAscii; }

// Something is seen as something: at least one cell of any load that rounds to 0.01.
std::size_t cells(double value, double per_cell, std::size_t most) {
  if (value < 0.005) return 0;
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::lround(value / per_cell)), 1, most);
}

}  // namespace

Style state_style(const std::string& node_state) {
  if (node_state == "FREE") return Style::Green;
  if (node_state == "NORMAL") return Style::Plain;
  if (node_state == "BUSY") return Style::Red;
  if (node_state == "EXCLUDED") return Style::Red;
  return node_state == "UNKNOWN" ? Style::Dim : Style::Yellow;  // DRAINING, DRAINED
}

Line load_bar(const NodeRow& node, const Watermarks& marks, const BarLook& look) {
  const std::size_t inside = look.columns - 2;
  const bool marked = marks.high > 0;
  const double whole = std::max(2.0, 2 * marks.high);  // what a full bar stands for
  const double per_cell = whole / static_cast<double>(inside);
  const std::size_t own = cells(node.own_load, per_cell, inside);
  const std::size_t both = std::max(own, cells(node.own_load + node.foreign_load, per_cell, inside));
  const auto low = static_cast<std::size_t>(std::lround(marks.low / per_cell));
  const auto high = static_cast<std::size_t>(std::lround(marks.high / per_cell));
  Line line("[", Style::Bar);
  for (std::size_t i = 0; i < inside; ++i) {
    Style style = state_style(node.state);
    if (marked) style = i < low ? Style::Green : i < high ? Style::Yellow : Style::Red;
    if (i < own)
      line.add(glyphs(look).own, style);
    else if (i < both)
      line.add(glyphs(look).foreign, style);
    else if (marked && (i == low || i == high))
      line.add(glyphs(look).mark, Style::Bar);
    else
      line.add(" ");
  }
  return line.add("]", Style::Bar);
}

Line memory_bar(double share, const BarLook& look) {
  const std::size_t inside = look.columns - 2;
  const std::size_t full = cells(share, 1.0 / static_cast<double>(inside), inside);
  const Style style = share > 0.95 ? Style::Red : share > 0.8 ? Style::Yellow : Style::Green;
  Line line("[", Style::Bar);
  for (std::size_t i = 0; i < inside; ++i) line.add(i < full ? glyphs(look).own : " ", i < full ? style : Style::Plain);
  return line.add("]", Style::Bar);
}

}  // namespace drover::top
