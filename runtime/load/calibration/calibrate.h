// Measures at which value each factor of load slows programs down on this node: load programs drive the factor up step
// by step while a probe runs beside them.
//
// The hard part is that the machine is not ours alone: each probe runs several times and the median counts, the
// unloaded probe runs before and after a factor's steps, and curves are made monotone before thresholds are looked for
// (curve.h). The factor is read while the load programs run *without* the probe: a node decides by it whether there is
// room for one program more.
#pragma once

#include <functional>
#include <string>

#include "runtime/load/calibration/experiment.h"
#include "runtime/load/calibration/record.h"
#include "runtime/load/watermarks.h"

namespace drover {

// About 90 s (20 s if quick), at most 150 s with disturbed factors measured again. `say` hears one line per step.
// Throws Interrupted; every program, file and group has ended then. What can't be driven here is in the result with its
// reason. Throws SystemError when not even a probe can run.
Calibration calibrate(const CalibrationOptions&, const Interruptible&,
                      const std::function<void(const std::string&)>& say);

// The verdict on a factor from its curve, by the thresholds; one with a reason already keeps its verdict. Pure.
// `fallback`: its default watermark.
void judge(FactorCalibration& factor, const Watermark& fallback, double low_slowdown, double high_slowdown);

}  // namespace drover
