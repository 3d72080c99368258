#include "runtime/load/calibration/curve.h"

#include <algorithm>
#include <cstddef>

namespace drover {

namespace {

constexpr double kGrowth = 0.005;      // of the whole range: less is noise around a factor's end
constexpr double kBelowTheEnd = 0.99;  // a factor can't be above its end, so a high watermark must lie below it

// Where the line through two points reaches `slowdown`, which lies between theirs.
double crossing(const CurvePoint& a, const CurvePoint& b, double slowdown) {
  if (b.slowdown <= a.slowdown) return b.value;
  return a.value + (b.value - a.value) * (slowdown - a.slowdown) / (b.slowdown - a.slowdown);
}

std::optional<double> value_at(const Curve& curve, double slowdown) {
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (curve[i].slowdown <= slowdown) continue;
    return i == 0 ? curve[i].value : crossing(curve[i - 1], curve[i], slowdown);
  }
  return std::nullopt;
}

}  // namespace

std::vector<double> isotonic(std::vector<double> values) {
  struct Block {
    double sum;
    std::size_t count;
    double mean() const { return sum / static_cast<double>(count); }
  };
  std::vector<Block> blocks;
  for (const double value : values) {
    blocks.push_back({value, 1});
    while (blocks.size() > 1 && blocks[blocks.size() - 2].mean() > blocks.back().mean()) {
      const Block last = blocks.back();
      blocks.pop_back();
      blocks.back().sum += last.sum;
      blocks.back().count += last.count;
    }
  }
  std::size_t at = 0;
  for (const Block& block : blocks)
    for (std::size_t i = 0; i < block.count; ++i) values[at++] = block.mean();
  return values;
}

Curve smoothed(const Curve& curve) {
  std::vector<double> values, slowdowns;
  for (const CurvePoint& point : curve) {
    values.push_back(point.value);
    slowdowns.push_back(point.slowdown);
  }
  values = isotonic(std::move(values));
  slowdowns = isotonic(std::move(slowdowns));
  Curve out;
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (!out.empty() && values[i] - out.back().value <= kGrowth * (values.back() - values.front())) continue;
    out.push_back({curve[i].level, values[i], std::max(0.0, slowdowns[i])});
  }
  return out;
}

std::optional<DerivedWatermark> derive_watermark(const Curve& curve, double low_slowdown, double high_slowdown) {
  const Curve smooth = smoothed(curve);
  if (smooth.size() < 2) return std::nullopt;  // nothing rose
  auto high = value_at(smooth, high_slowdown);
  if (!high) {
    // It may slow more although the factor stays at its end: then it is the end that tells.
    std::vector<double> slowdowns;
    for (const CurvePoint& point : curve) slowdowns.push_back(point.slowdown);
    if (isotonic(std::move(slowdowns)).back() <= high_slowdown) return std::nullopt;
    high = smooth.back().value * kBelowTheEnd;
  }
  const double low = value_at(smooth, low_slowdown).value_or(*high);
  return DerivedWatermark{std::min(low, *high), *high};
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace drover
