// A line for each node: "node0  BUSY  [████▒▒ ┊  ]  1.25  [███   ]  45%  3  1.00".
#include <fmt/format.h>

#include <algorithm>

#include "launcher/terminal_text.h"
#include "launcher/top/bars.h"
#include "launcher/top/panes.h"

namespace drover::top {

namespace {

// Which parts there are, and how wide; 0: it is left out.
struct NodeColumns {
  std::size_t name, state = 8, load_bar, load = 5, memory_bar = 0, memory = 0, jobs = 4, speed = 0, host = 0;
};

NodeColumns columns_of(const World& world, const PaneLook& look) {
  NodeColumns columns{};
  columns.name = 5;
  for (const NodeRow& node : world.nodes) columns.name = std::max(columns.name, display_width(node.name));
  columns.name = std::min(columns.name, look.width < 60 ? std::size_t{8} : std::size_t{16});
  std::size_t taken = columns.name + columns.state + columns.load + columns.jobs + 4;
  if (look.width >= 60) taken += (columns.memory = 4) + 2;
  if (look.width >= 70) taken += (columns.speed = 5) + 1;
  if (look.width >= 100) {
    for (const NodeRow& node : world.nodes) columns.host = std::max(columns.host, display_width(node.host));
    columns.host = std::clamp<std::size_t>(columns.host, 4, 24);
    taken += columns.host + 2;
  }
  const std::size_t bars = look.width > taken + 8 ? look.width - taken : 8;
  columns.memory_bar = columns.memory > 0 ? bars / 3 : 0;
  columns.load_bar = bars - columns.memory_bar;
  return columns;
}

}  // namespace

Line node_title(const World& world, const PaneLook& look) {
  const NodeColumns columns = columns_of(world, look);
  Line line;
  line.add(left("NODE", columns.name) + ' ' + left("STATE", columns.state) + ' ');
  line.add(left(columns.load_bar >= 15 ? "LOAD (per PU)" : "LOAD", columns.load_bar + 1 + columns.load));
  if (columns.memory > 0) line.add(' ' + left("MEMORY", columns.memory_bar + 1 + columns.memory));
  line.add(' ' + right("JOBS", columns.jobs));
  if (columns.speed > 0) line.add(' ' + right("SPEED", columns.speed));
  if (columns.host > 0) line.add("  " + left("HOST", columns.host));
  line.fit(look.width);
  line.set_style(Style::Heading);
  return line;
}

Line node_line(const World& world, const NodeRow& node, const PaneLook& look) {
  const NodeColumns columns = columns_of(world, look);
  Line line;
  line.add(left(node.name, columns.name) + ' ').add(left(node.state, columns.state), state_style(node.state)).add(" ");
  if (node.known && node.remark.empty()) {
    const auto found = world.watermarks.find(node.name);
    const Watermarks marks = found == world.watermarks.end() ? Watermarks{} : found->second;
    line.add(load_bar(node, marks, {columns.load_bar, look.wide_characters}));
  } else {
    line.add(left(node.known ? node.remark : "tells nothing", columns.load_bar), Style::Dim);
  }
  const auto figure = [&](const std::string& text, std::size_t width) {
    line.add(' ' + right(node.known ? text : "-", width));
  };
  figure(fmt::format("{:.2f}", node.own_load + node.foreign_load), columns.load);
  if (columns.memory > 0) {
    const bool shown = node.known && node.memory_share >= 0;
    line.add(" ").add(memory_bar(shown ? node.memory_share : 0, {columns.memory_bar, look.wide_characters}));
    line.add(' ' + right(shown ? fmt::format("{:.0f}%", node.memory_share * 100) : "-", columns.memory));
  }
  figure(fmt::format("{}", node.jobs), columns.jobs);
  if (columns.speed > 0) figure(fmt::format("{:.2f}", node.speed), columns.speed);
  if (columns.host > 0) line.add("  " + left(node.host, columns.host));
  line.fit(look.width);
  return line;
}

std::string node_detail(const World& world, const NodeRow& node) {
  if (!node.known) return fmt::format("{} on {}: {}", node.name, node.host, node.state);
  std::string text = fmt::format("{} on {}: {} of its jobs are others'; load of jobs {:.2f}, of everything else {:.2f}",
                                 node.name, node.host, node.foreign_jobs, node.own_load, node.foreign_load);
  if (const auto marks = world.watermarks.find(node.name); marks != world.watermarks.end())
    text += fmt::format("; free below {:.2f}, busy above {:.2f}", marks->second.low, marks->second.high);
  return text;
}

}  // namespace drover::top
