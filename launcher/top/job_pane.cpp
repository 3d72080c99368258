// The table of jobs. What is least needed goes first where the window is narrow; the name has what is left, with the
// reason why a job waits or can't move behind it.
#include <fmt/format.h>

#include <algorithm>

#include "launcher/job_text.h"
#include "launcher/table.h"
#include "launcher/terminal_text.h"
#include "launcher/top/panes.h"

namespace drover::top {

struct JobTable::Column {
  const char* title;
  int importance;     // the higher the longer it stays
  std::size_t width;  // 0: as ids or nodes need it
  bool figure;        // to the right
  std::string (*cell)(const JobRow& job);
};

namespace {

constexpr std::size_t kMostName = 20, kRoomForWhy = 60;
constexpr int kAlways = 99;

// What the name has to be left with for a column to stay.
std::size_t least_name(int importance) { return importance == 1 ? 34 : importance == 2 ? 20 : 14; }

Style style_of(const JobRow& job) {
  switch (state_colour(job.state)) {
    case Table::Colour::Green:
      return Style::Green;
    case Table::Colour::Yellow:
      return Style::Yellow;
    case Table::Colour::Red:
      return Style::Red;
    case Table::Colour::None:
      break;
  }
  return job.state == "queued" ? Style::Yellow : Style::Plain;
}

}  // namespace

const std::vector<JobTable::Column>& JobTable::all_columns() {
  static const std::vector<Column> kColumns = {
      {"JOB", kAlways, 0, true, [](const JobRow& job) { return fmt::format("{}", job.id); }},
      {"STATE", kAlways, 8, false, [](const JobRow& job) { return job.state; }},
      {"NODE", kAlways, 0, false, [](const JobRow& job) { return job.node; }},
      {"ORIGIN", 2, 0, false, [](const JobRow& job) { return job.origin; }},
      {"TIME", 5, 7, true, [](const JobRow& job) { return format_seconds(job.run_seconds); }},
      {"CPU", 4, 7, true, [](const JobRow& job) { return format_seconds(job.cpu_seconds); }},
      {"MEMORY", 6, 8, true, [](const JobRow& job) { return format_kib(job.memory_kib); }},
      {"MOVES", 3, 5, true, [](const JobRow& job) { return fmt::format("{}", job.moves); }},
      {"FROZEN", 1, 9, true, [](const JobRow& job) { return fmt::format("{:.1f} ms", job.frozen_ms); }},
  };
  return kColumns;
}

std::size_t JobTable::width_of(const Column& column) const {
  if (column.width > 0) return column.width;
  return column.figure ? id_width_ : node_width_;
}

JobTable::JobTable(const World& world, const PaneLook& look) : look_(look) {
  long most = 0;
  for (const JobRow& job : world.jobs) most = std::max(most, job.id);
  id_width_ = std::max(id_width_, std::to_string(most).size());
  for (const NodeRow& node : world.nodes) node_width_ = std::max(node_width_, display_width(node.name));
  node_width_ = std::min<std::size_t>(node_width_, look.width < 60 ? 8 : 16);

  for (const Column& column : all_columns()) columns_.push_back(&column);
  const auto taken = [&] {
    std::size_t sum = 0;
    for (const Column* column : columns_) sum += width_of(*column) + 1;
    return sum;
  };
  for (;;) {
    const auto least = std::min_element(columns_.begin(), columns_.end(),
                                        [](const Column* a, const Column* b) { return a->importance < b->importance; });
    const int importance = (*least)->importance;
    if (importance == kAlways || taken() + least_name(importance) <= look.width) break;
    columns_.erase(least);
  }
  rest_ = look.width - std::min(look.width, taken());
}

std::size_t JobTable::name_width() const { return rest_ < kRoomForWhy ? rest_ : kMostName; }

Line JobTable::title() const {
  Line line;
  for (const Column* column : columns_)
    line.add((column->figure ? right(column->title, width_of(*column)) : left(column->title, width_of(*column))) + ' ');
  line.add(left("NAME", name_width()));
  if (rest_ >= kRoomForWhy) line.add(" WHY, COMMAND");
  line.fit(look_.width);
  line.set_style(Style::Heading);
  return line;
}

Line JobTable::line(const JobRow& job) const {
  Line line;
  for (const Column* column : columns_) {
    const std::string cell = column->cell(job);
    const bool is_state = std::string_view(column->title) == "STATE";
    line.add(column->figure ? right(cell, width_of(*column)) : left(cell, width_of(*column)),
             is_state ? style_of(job) : Style::Plain);
    line.add(" ");
  }
  const bool split = rest_ >= kRoomForWhy;
  line.add(split ? left(job.name, name_width()) : job.name);
  if (split || job.held_up) line.add(split ? " " : "  ").add(job.why, job.held_up ? Style::Yellow : Style::Dim);
  if (split) line.add("  " + job.command);
  line.fit(look_.width);
  return line;
}

std::string job_detail(const JobRow& job) {
  std::string text = fmt::format("job {}", job.id);
  if (!job.why.empty()) text += ": " + job.why;
  return text + fmt::format("; moved {} time{}, frozen {:.1f} ms; {}", job.moves, job.moves == 1 ? "" : "s",
                            job.frozen_ms, job.command);
}

}  // namespace drover::top
