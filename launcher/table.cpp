#include "launcher/table.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace drover {

namespace {

// Characters, not bytes: UTF-8 continuation bytes take no place.
std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string cut(const std::string& text, std::size_t width) {
  std::size_t shown = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U && ++shown > width) return text.substr(0, i);
  return text;
}

// A job's name or reason must not move the cursor of whoever lists it.
std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  row.resize(columns_.size());
  for (std::string& cell : row) cell = printable(std::move(cell));
  rows_.push_back(std::move(row));
}

std::string Table::line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                        std::size_t width) const {
  std::string out;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - std::min(widths[i], display_width(cells[i])), ' ');
    if (i > 0) out += "  ";
    out += columns_[i].align == Align::Right ? padding + cells[i] : cells[i] + padding;
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return width > 0 ? cut(out, width) : out;
}

std::string Table::text(std::size_t width, bool bold) const {
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    titles.push_back(columns_[i].title);
    widths.push_back(display_width(columns_[i].title));
    for (const auto& row : rows_) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out = line(titles, widths, width);
  if (bold) out = "\x1b[1m" + out + "\x1b[0m";
  out += '\n';
  for (const auto& row : rows_) out += line(row, widths, width) + '\n';
  return out;
}

void Table::print() const {
  winsize size{};
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  if (terminal) ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  const std::string out = text(size.ws_col, terminal);
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
