// From a measured curve (how much a probe slows down while a factor rises) to a factor's watermarks. Pure.
#pragma once

#include <optional>
#include <vector>

namespace drover {

struct CurvePoint {
  double level = 0;     // what was asked of the load programs, in the experiment's own unit; rising along a curve
  double value = 0;     // the factor, in its own unit, while the load programs ran alone
  double slowdown = 0;  // of the probe beside them: 0.25 is a quarter more time for the same work
  bool operator==(const CurvePoint&) const = default;
};
using Curve = std::vector<CurvePoint>;

// The values, rising or level, that lie nearest to `values` (least squares): pool adjacent violators. Noise makes a
// measured curve fall where more load can't have made the probe faster.
std::vector<double> isotonic(std::vector<double> values);

// The curve with values and slowdowns that never fall and slowdowns of at least 0. Points whose value no longer grows
// (the factor has reached its end, as a CPU's share at 1) are dropped but for the first.
Curve smoothed(const Curve&);

struct DerivedWatermark {
  double low = 0;   // up to here the probe slows by less than the low threshold
  double high = 0;  // above it by more than the high one; >= low
};
// Empty if the probe never slows by more than `high_slowdown` (which is at least `low_slowdown`, both above 0): then
// the factor, as far as it was driven, does not slow programs.
std::optional<DerivedWatermark> derive_watermark(const Curve&, double low_slowdown, double high_slowdown);

// Middle of the sorted values, mean of the two middle ones; 0 of none. One disturbed measurement of three changes
// nothing.
double median(std::vector<double> values);

}  // namespace drover
