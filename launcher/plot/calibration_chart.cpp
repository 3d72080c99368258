#include "launcher/plot/calibration_chart.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/plot/svg_chart.h"

namespace drover {

namespace {

constexpr double kMostPercent = 100;  // of the axis: a probe that stands still would flatten all that matters

const char* unit_of(Factor factor) {
  switch (factor) {
    case Factor::RunQueue:
      return "runnable threads per PU";
    case Factor::CpuShare:
      return "busy share of the PUs";
    case Factor::IoBlocks:
      return "sectors of 512 bytes per second";
    case Factor::PageOps:
      return "page operations per second";
    case Factor::Interrupts:
      return "interrupts per second and PU";
    case Factor::ContextSwitches:
      return "context switches per second and PU";
    case Factor::MemoryUsed:
      return "used share of the memory";
    case Factor::SwapUsed:
      return "used share of the swap";
  }
  return "";
}

SvgSeries series(const char* name, const Curve& curve, bool dashed) {
  SvgSeries out{name, {}, dashed};
  for (const CurvePoint& point : curve)
    out.points.emplace_back(point.value, std::min(kMostPercent, 100 * point.slowdown));
  return out;
}

}  // namespace

std::string calibration_svg(const Calibration& calibration) {
  std::vector<SvgChart> charts;
  for (const FactorCalibration& factor : calibration.factors) {
    if (factor.curve.empty()) continue;
    SvgChart chart;
    chart.width = 460;
    chart.height = 300;
    chart.title = fmt::format("{} ({})", factor_name(factor.factor), verdict_name(factor.verdict));
    chart.x_title = unit_of(factor.factor);
    chart.y_title = "probe slower by %";
    chart.series = {series("measured", factor.curve, true), series("monotone", smoothed(factor.curve), false)};
    chart.rules = {{SvgRule::Axis::Y, 100 * calibration.low_slowdown, ""},
                   {SvgRule::Axis::Y, 100 * calibration.high_slowdown, ""}};
    if (factor.verdict == Verdict::Measured) {
      chart.rules.push_back({SvgRule::Axis::X, factor.low, "low"});
      chart.rules.push_back({SvgRule::Axis::X, factor.high, "high"});
    }
    charts.push_back(std::move(chart));
  }
  return svg_page(fmt::format("{}, calibrated {}", calibration.host, calibration.date), charts);
}

}  // namespace drover
