// One axis of a chart: what it covers, its ticks, and where a value lies on it.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

namespace drover {

struct SvgRange {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  bool empty() const { return low > high; }
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

class SvgAxis {
 public:
  // `begin` and `end` are the pixels of the first and the last tick. An empty range is 0..1 (1..10 if `log`).
  SvgAxis(SvgRange range, bool log, double begin, double end);
  double place(double value) const;  // in pixels
  const std::vector<double>& ticks() const { return ticks_; }

 private:
  bool log_;
  double begin_, end_;
  std::vector<double> ticks_;
};

}  // namespace drover
