// The parts of the screen, one file each.
#pragma once

#include <span>

#include "launcher/top/view.h"

namespace drover::top {

// What a pane's lines have in common.
struct PaneLook {
  std::size_t width;
  bool wide_characters;
};

Line node_title(const World& world, const PaneLook& look);
Line node_line(const World& world, const NodeRow& node, const PaneLook& look);
std::string node_detail(const World& world, const NodeRow& node);

// The columns that fit are the same for all rows.
class JobTable {
 public:
  JobTable(const World& world, const PaneLook& look);
  Line title() const;
  Line line(const JobRow& job) const;

 private:
  struct Column;
  static const std::vector<Column>& all_columns();
  std::size_t width_of(const Column& column) const;
  std::size_t name_width() const;
  std::vector<const Column*> columns_;
  PaneLook look_;
  std::size_t id_width_ = 3, node_width_ = 6;
  std::size_t rest_ = 0;  // for the name and what follows it
};
std::string job_detail(const JobRow& job);

Line event_line(const EventRow& event);

Line header_line(const World& world, const PaneLook& look);
Line footer_line(const View& view);
// With its frame.
std::vector<Line> menu_lines(const Menu& menu, const View& view);

}  // namespace drover::top
