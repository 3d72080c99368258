// Bars of a fixed width, "[████▒▒  ┊   ] ": colours tell where the watermarks are, and so do marks, for who has none.
#pragma once

#include "launcher/top/world.h"

namespace drover::top {

struct BarLook {
  std::size_t columns;  // with its brackets; at least 4
  bool wide_characters;
};

// Load of jobs, then of others; green below the low watermark, yellow up to the high one, red above. Without marks it
// is as green, yellow or red as the node's state.
Line load_bar(const NodeRow& node, const Watermarks& marks, const BarLook& look);
Line memory_bar(double share, const BarLook& look);

Style state_style(const std::string& node_state);

}  // namespace drover::top
