// Which watermarks a node uses, and where each comes from: defaults, its calibration, its configuration file.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "runtime/load/calibration/record.h"
#include "runtime/load/watermarks.h"

namespace drover {

struct NodeMarks {
  Watermarks marks;
  std::array<std::string, kFactors> from;  // "default", "calibrated 2025-01-31", "config"
  double speed = 1;                        // of one PU; 1 if not calibrated
  std::string warning;  // why the calibration is not used, and the way out; empty if nothing is wrong
};

// Defaults for `capacity`, then the calibration, then the configuration's text. Of the calibration only the speed is
// taken if `shared_host`: it measured the whole host, and there the factors are the node's own jobs' alone. Run queue
// and CPU share keep their defaults if the capacity is another: their marks are a part of it. Weights: a factor that
// does not slow programs or could not be driven gets 0, the others keep theirs.
//
// Throws std::runtime_error as apply_config() does for a bad configuration. One that is only in conflict with the
// calibration (a low watermark above the calibrated high one) wins: then the whole calibration is left out, with a
// warning.
NodeMarks choose_marks(double capacity, bool shared_host, const std::optional<Calibration>& calibration,
                       const std::string& config_text, const std::string& config_file);

// This host's calibration for choose_marks(): empty, and `warning` says why, if its file is damaged or belongs to
// another machine; both empty if there is none.
std::optional<Calibration> calibration_of_this_host(std::string& warning);

}  // namespace drover
