// Charts of what the policies do, drawn from simulations that are run for them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace drover {

struct PolicyFigure {
  std::string_view name, summary;
  std::string (*draw)();  // runs the simulations, some seconds, and returns an SVG document; the same every time
};

std::span<const PolicyFigure> all_policy_figures();

}  // namespace drover
