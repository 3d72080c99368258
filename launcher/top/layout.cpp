#include "launcher/top/layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/terminal_text.h"
#include "launcher/top/panes.h"

namespace drover::top {

namespace {

constexpr std::size_t kHeightForEvents = 18, kHeightForMoreEvents = 32;
constexpr std::size_t kOtherLines = 5;  // header, two titles, detail, footer

// The first row shown, so that the selected one is among them, moved no more than it must be.
std::size_t scrolled(std::size_t first, std::size_t selected, std::size_t rows, std::size_t count) {
  if (count <= rows || rows == 0) return 0;
  first = std::min(first, count - rows);
  if (selected < first) return selected;
  return selected >= first + rows ? selected + 1 - rows : first;
}

std::size_t shown_jobs(const World& world, const View& view) {
  return sorted_jobs(world, view.filter, view.sort, view.backwards).size();
}

// At the right end of a title: which rows are shown, and of what.
void add_remark(Line& title, const std::string& remark) {
  const std::size_t width = display_width(remark), whole = title.width();
  if (!remark.empty() && width + 20 < whole) title.lay_over(whole - width, Line(remark, Style::Heading));
}

std::string range_text(std::size_t first, std::size_t rows, std::size_t count) {
  return count <= rows ? "" : fmt::format(" {}-{} of {}", first + 1, std::min(first + rows, count), count);
}

std::string jobs_remark(const View& view, std::size_t count, std::size_t rows) {
  std::string text;
  if (!view.filter.empty()) text += fmt::format(" named '{}'", view.filter);
  if (view.sort != Sort::Job || view.backwards)
    text += fmt::format(" by {}{}", sort_name(view.sort), view.backwards ? ", backwards" : "");
  return text + range_text(view.first_job, rows, count);
}

void select(Line& line, bool selected, bool focused) {
  if (selected && focused) line.set_style(Style::Selected);
  if (selected && !focused) line.mark();
}

void add_nodes(std::vector<Line>& lines, const World& world, const View& view, std::size_t rows) {
  const PaneLook look{view.width, view.wide_characters};
  lines.push_back(node_title(world, look));
  add_remark(lines.back(), range_text(view.first_node, rows, world.nodes.size()));
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t index = view.first_node + i;
    if (index >= world.nodes.size()) break;
    lines.push_back(node_line(world, world.nodes[index], look));
    select(lines.back(), world.nodes[index].name == view.node, view.focus == Pane::Nodes);
  }
}

void add_jobs(std::vector<Line>& lines, const World& world, const View& view, std::size_t rows) {
  const JobTable table(world, {view.width, view.wide_characters});
  const auto jobs = sorted_jobs(world, view.filter, view.sort, view.backwards);
  lines.push_back(table.title());
  add_remark(lines.back(), jobs_remark(view, jobs.size(), rows));
  const std::size_t end = lines.size() + rows;
  for (std::size_t i = view.first_job; i < jobs.size() && lines.size() < end; ++i) {
    lines.push_back(table.line(*jobs[i]));
    select(lines.back(), jobs[i]->id == view.job, view.focus == Pane::Jobs);
  }
  if (jobs.empty() && world.heard)
    lines.emplace_back(
        view.filter.empty() ? "no jobs; start one with: drover submit -- PROGRAM" : "no job of that name", Style::Dim);
  lines.resize(end);
}

Line detail_line(const World& world, const View& view) {
  if (!view.message.empty()) return Line(view.message, view.message_style);
  if (view.focus == Pane::Nodes) {
    const NodeRow* node = world.node(view.node);
    return node == nullptr ? Line() : Line(node_detail(world, *node), Style::Dim);
  }
  const JobRow* job = world.job(view.job);
  return job == nullptr ? Line() : Line(job_detail(*job), Style::Dim);
}

void add_events(std::vector<Line>& lines, const World& world, const View& view, std::size_t rows) {
  lines.emplace_back("WHAT HAPPENED");
  lines.back().fit(view.width);
  lines.back().set_style(Style::Heading);
  const std::size_t count = std::min(rows, world.events.size());
  for (std::size_t i = world.events.size() - count; i < world.events.size(); ++i)
    lines.push_back(event_line(world.events[i]));
  lines.resize(lines.size() + rows - count);
}

std::vector<Line> too_small(const View& view) {
  std::vector<Line> lines(view.height);
  if (view.height == 0) return lines;
  lines[view.height / 2] = Line(fmt::format("{}x{} or more, please", kLeastWidth, kLeastHeight));
  for (Line& line : lines) line.fit(view.width);
  return lines;
}

void lay_menu(std::vector<Line>& lines, const View& view) {
  const std::vector<Line> box = menu_lines(*view.menu, view);
  const std::size_t top = (view.height - std::min(view.height, box.size())) / 2;
  for (std::size_t i = 0; i < box.size() && top + i < lines.size(); ++i)
    lines[top + i].lay_over((view.width - std::min(view.width, box[i].width())) / 2, box[i]);
}

}  // namespace

void Menu::step(std::ptrdiff_t by) {
  const auto last = static_cast<std::ptrdiff_t>(items.size()) - 1;
  selected = static_cast<std::size_t>(
      std::clamp<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(selected) + by, 0, std::max<std::ptrdiff_t>(last, 0)));
}

std::size_t Menu::rows(std::size_t height) { return std::max<std::size_t>(height, 5) - 4; }

Geometry geometry(const World& world, const View& view) {
  Geometry shape;
  if (view.height < kLeastHeight) return shape;
  if (view.height >= kHeightForEvents) shape.event_rows = view.height >= kHeightForMoreEvents ? 8 : 4;
  const std::size_t rest = view.height - kOtherLines - (shape.event_rows > 0 ? shape.event_rows + 1 : 0);
  // Two fifths are the nodes', and what the jobs leave.
  const std::size_t for_jobs = std::clamp<std::size_t>(world.jobs.size(), 3, rest - rest * 2 / 5);
  shape.node_rows = std::min(std::max<std::size_t>(world.nodes.size(), 1), rest - for_jobs);
  shape.job_rows = rest - shape.node_rows;
  return shape;
}

void settle(const World& world, View& view) {
  const Geometry shape = geometry(world, view);
  if (!world.nodes.empty()) {
    const auto found = std::find_if(world.nodes.begin(), world.nodes.end(),
                                    [&](const NodeRow& node) { return node.name == view.node; });
    view.node_index = found != world.nodes.end() ? static_cast<std::size_t>(found - world.nodes.begin())
                                                 : std::min(view.node_index, world.nodes.size() - 1);
    view.node = world.nodes[view.node_index].name;
  }
  const auto jobs = sorted_jobs(world, view.filter, view.sort, view.backwards);
  if (jobs.empty()) {
    view.job = 0;
  } else {
    const auto found = std::find_if(jobs.begin(), jobs.end(), [&](const JobRow* job) { return job->id == view.job; });
    view.job_index = found != jobs.end() ? static_cast<std::size_t>(found - jobs.begin())
                                         : std::min(view.job_index, jobs.size() - 1);
    view.job = jobs[view.job_index]->id;
  }
  view.first_node = scrolled(view.first_node, view.node_index, shape.node_rows, world.nodes.size());
  view.first_job = scrolled(view.first_job, view.job_index, shape.job_rows, shown_jobs(world, view));
}

std::vector<Line> draw(const World& world, const View& view) {
  if (view.width < kLeastWidth || view.height < kLeastHeight) return too_small(view);
  const Geometry shape = geometry(world, view);
  std::vector<Line> lines{header_line(world, {view.width, view.wide_characters})};
  add_nodes(lines, world, view, shape.node_rows);
  lines.resize(2 + shape.node_rows);
  add_jobs(lines, world, view, shape.job_rows);
  lines.push_back(detail_line(world, view));
  if (shape.event_rows > 0) add_events(lines, world, view, shape.event_rows);
  lines.push_back(footer_line(view));
  for (Line& line : lines) line.fit(view.width);
  if (view.menu != nullptr) lay_menu(lines, view);
  return lines;
}

std::string snapshot_text(const World& world, std::size_t width) {
  const PaneLook look{width > 0 ? std::max(width, kLeastWidth) : 132, false};
  std::vector<Line> lines{header_line(world, look), Line(), node_title(world, look)};
  for (const NodeRow& node : world.nodes) lines.push_back(node_line(world, node, look));
  const JobTable table(world, look);
  lines.emplace_back();
  lines.push_back(table.title());
  for (const JobRow* job : sorted_jobs(world, "", Sort::Job, false)) lines.push_back(table.line(*job));
  if (!world.events.empty()) lines.emplace_back();
  for (const EventRow& event : world.events) lines.push_back(event_line(event));
  std::string text;
  for (const Line& line : lines) {
    std::string words = width > 0 ? cut_to_width(line.text(), width) : line.text();
    words.erase(words.find_last_not_of(' ') + 1);
    text += words + '\n';
  }
  return text;
}

}  // namespace drover::top
