#include "launcher/table.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "launcher/terminal_text.h"

namespace drover {

namespace {

constexpr const char* kBold = "\x1b[1m";
constexpr const char* kPlain = "\x1b[0m";

const char* escape_code(Table::Colour colour) {
  switch (colour) {
    case Table::Colour::Green:
      return "\x1b[32m";
    case Table::Colour::Yellow:
      return "\x1b[33m";
    case Table::Colour::Red:
      return "\x1b[31m";
    case Table::Colour::None:
      break;
  }
  return "";
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  row.resize(columns_.size());
  for (std::string& cell : row) cell = printable(cell);
  rows_.push_back(std::move(row));
}

std::string Table::line(const std::vector<std::string>& cells, const Shape& shape) const {
  std::string out;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::size_t width = display_width(cells[i]);
    const std::string padding(shape.widths[i] - std::min(shape.widths[i], width), ' ');
    if (i > 0) out += "  ";
    out += columns_[i].align == Align::Right ? padding + cells[i] : cells[i] + padding;
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return shape.look.width > 0 ? cut_to_width(out, shape.look.width) : out;
}

// Colours take no place, so they are put into the line when it has been cut: from its end, where places stay as they
// are.
std::string Table::coloured_line(const std::vector<std::string>& cells, const Shape& shape) const {
  std::string out = line(cells, shape);
  const bool whole = out == line(cells, {shape.widths, {}});
  const std::size_t text_end = whole ? out.size() : out.size() - kEllipsis.size();
  for (std::size_t i = cells.size(); i-- > 0;) {
    const Colour colour = columns_[i].colour == nullptr ? Colour::None : columns_[i].colour(cells[i]);
    if (colour == Colour::None) continue;
    const std::vector<std::string> until(cells.begin(), cells.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    const std::size_t end = line(until, {shape.widths, {}}).size();
    const std::size_t begin = end - cells[i].size();
    if (begin >= text_end) continue;
    out.insert(std::min(end, text_end), kPlain);
    out.insert(begin, escape_code(colour));
  }
  return out;
}

std::string Table::text(const Look& look) const {
  std::vector<std::string> titles;
  Shape shape{{}, look};
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    titles.push_back(columns_[i].title);
    shape.widths.push_back(display_width(columns_[i].title));
    for (const auto& row : rows_) shape.widths[i] = std::max(shape.widths[i], display_width(row[i]));
  }
  std::string out = line(titles, shape);
  if (look.bold) out = kBold + out + kPlain;
  out += '\n';
  for (const auto& row : rows_) out += (look.colour ? coloured_line(row, shape) : line(row, shape)) + '\n';
  return out;
}

Table::Look look_of_stdout() {
  if (::isatty(STDOUT_FILENO) != 1) return {};
  winsize size{};
  ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  const char* terminal = std::getenv("TERM");
  const bool codes = terminal == nullptr || std::string_view(terminal) != "dumb";
  const char* no_colour = std::getenv("NO_COLOR");
  return {size.ws_col, codes, codes && (no_colour == nullptr || *no_colour == '\0')};
}

void Table::print() const {
  const std::string out = text(look_of_stdout());
  std::fwrite(out.data(), 1, out.size(), stdout);
}

std::string format_kib(double kib) {
  static constexpr std::array<const char*, 4> kUnits = {"KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (kib >= 1024 && unit + 1 < kUnits.size()) {
    kib /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", kib, unit == 0 || kib >= 100 ? 0 : 1, kUnits[unit]);
}

std::string format_seconds(double seconds) {
  if (seconds < 100) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<long>(seconds);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string format_figure(double value) {
  return std::abs(value) >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.4g}", value);
}

}  // namespace drover
