// What stands around the panes: the first line, the last one, and a menu over them.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

#include "launcher/event_text.h"
#include "launcher/terminal_text.h"
#include "launcher/top/controls.h"
#include "launcher/top/panes.h"

namespace drover::top {

namespace {

std::string plural(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// "3 nodes: 1 FREE, 2 BUSY"
std::string nodes_text(const World& world) {
  std::string text = plural(world.nodes.size(), "node");
  bool first = true;
  for (const char* state : {"FREE", "NORMAL", "BUSY", "DRAINING", "DRAINED", "EXCLUDED", "UNKNOWN"}) {
    const auto count =
        std::count_if(world.nodes.begin(), world.nodes.end(), [&](const NodeRow& node) { return node.state == state; });
    if (count == 0) continue;
    text += fmt::format("{}{} {}", first ? ": " : ", ", count, state);
    first = false;
  }
  return text;
}

std::string jobs_text(const World& world) {
  const auto waiting = static_cast<std::size_t>(
      std::count_if(world.jobs.begin(), world.jobs.end(), [](const JobRow& job) { return job.state == "queued"; }));
  std::string text = plural(world.jobs.size() - waiting, "job");
  if (waiting > 0) text += fmt::format(", {} waiting", waiting);
  return text;
}

Line framed(const Line& content, std::size_t inside, bool selected) {
  Line middle = content;
  middle.fit(inside);
  if (selected) middle.set_style(Style::Selected);
  return Line("| ", Style::Bar).add(middle).add(" |", Style::Bar);
}

Line edge(const std::string& title, std::size_t inside) {
  Line line("+-", Style::Bar);
  const std::string shown = title.empty() ? "" : " " + cut_to_width(printable(title), inside - 2) + " ";
  line.add(shown, Style::Bold);
  line.add(std::string(inside - std::min(inside, display_width(shown)), '-') + "-+", Style::Bar);
  return line;
}

}  // namespace

Line event_line(const EventRow& event) {
  return Line(clock_text(event.time_ns).substr(0, 8) + "  ", Style::Dim).add(event.text, event.style);
}

Line header_line(const World& world, const PaneLook& look) {
  const std::string time = fmt::format("{:%T}", fmt::localtime(static_cast<std::time_t>(world.now_ns / 1'000'000'000)));
  Line line("drover " + world.instance, Style::Bold);
  if (!world.trouble.empty())
    line.add("  ").add(world.trouble, Style::Red);
  else if (!world.heard)
    line.add("  waiting for droverd");
  if (world.heard) line.add("  " + nodes_text(world) + "  " + jobs_text(world));
  line.fit(look.width - std::min(look.width, time.size() + 1));
  return line.add(" " + time, Style::Bold);
}

Line footer_line(const View& view) {
  Line line;
  if (view.typing_filter) {
    line.add("Show jobs named: ", Style::Bold).add(view.filter).add("_", Style::Bold);
    line.add("   Enter: done  Esc: all", Style::Dim);
  } else {
    for (const KeyHint& hint : key_hints(view.focus)) {
      if (!line.empty()) line.add("  ");
      line.add(hint.key, Style::Selected).add(std::string(" ") + hint.what);
    }
  }
  line.fit(view.width);
  return line;
}

std::vector<Line> menu_lines(const Menu& menu, const View& view) {
  constexpr std::size_t kLeastInside = 22;  // for what stands in the lower edge
  std::size_t inside = std::max(kLeastInside, display_width(printable(menu.title)) + 2);
  for (const Menu::Item& item : menu.items) inside = std::max(inside, display_width(printable(item.label)));
  inside = std::min(inside, view.width - 4);
  const std::size_t rows = std::min(menu.items.size(), Menu::rows(view.height));
  // The selected one is in the middle, where there are lines enough on both sides.
  const std::size_t first = std::min(menu.selected - std::min(menu.selected, rows / 2), menu.items.size() - rows);
  std::vector<Line> lines{edge(menu.title, inside)};
  for (std::size_t i = first; i < first + rows; ++i)
    lines.push_back(framed(Line(menu.items[i].label), inside, menu.choice && i == menu.selected));
  lines.push_back(edge(rows < menu.items.size() ? fmt::format("{} of {}", menu.selected + 1, menu.items.size())
                       : menu.choice            ? "Enter: yes, Esc: no"
                                                : "any key",
                       inside));
  return lines;
}

}  // namespace drover::top
