// The whole screen as lines: pure, so that tests look at it in any size without a terminal.
//
//   header     instance, nodes by state, jobs, time; or what is wrong
//   nodes      a title and a line each, those around the selected one if they do not all fit
//   jobs       the same, sorted and filtered
//   detail     more of the selected job or node, or what became of the last command
//   events     the last ones, where the window is high enough
//   footer     keys, or the line being typed
#pragma once

#include "launcher/top/view.h"

namespace drover::top {

struct Geometry {
  std::size_t node_rows = 0, job_rows = 0, event_rows = 0;  // without titles; no events: no title of theirs either
};
Geometry geometry(const World& world, const View& view);

// Makes what is selected and scrolled to exist: after news of the world, a key, a new size.
void settle(const World& world, View& view);

// As many lines as the window is high, each as wide as it is. `view` is settled.
std::vector<Line> draw(const World& world, const View& view);

// Everything at once as plain text, for a file or a pipe. Lines are cut at `width` columns unless that is 0.
std::string snapshot_text(const World& world, std::size_t width);

}  // namespace drover::top
