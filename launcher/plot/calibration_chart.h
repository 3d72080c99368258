// A calibration's curves as a page of charts, one for each factor that was driven.
#pragma once

#include <string>

#include "runtime/load/calibration/record.h"

namespace drover {

// An SVG document. Over each factor's value: the probe's slowdown as measured, and made monotone; the thresholds and
// the watermarks are thin lines.
std::string calibration_svg(const Calibration&);

}  // namespace drover
