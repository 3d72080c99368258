#include "launcher/plot/svg_axis.h"

#include <fmt/format.h>

#include <cmath>

#include "launcher/plot/svg_chart.h"

namespace drover {

SvgAxis::SvgAxis(SvgRange range, bool log, double begin, double end) : log_(log), begin_(begin), end_(end) {
  if (range.empty()) range = log ? SvgRange{1, 10} : SvgRange{0, 1};
  ticks_ = log ? log_ticks(range.low, range.high) : linear_ticks(range.low, range.high);
}

double SvgAxis::place(double value) const {
  const auto scale = [this](double v) { return log_ ? std::log10(v) : v; };
  const double low = scale(ticks_.front()), high = scale(ticks_.back());
  return begin_ + (scale(value) - low) / (high - low) * (end_ - begin_);
}

std::vector<double> linear_ticks(double low, double high, unsigned wanted) {
  if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high))) {  // one value: the axis needs a length
    const double half = low == 0 ? 0.5 : std::abs(low) / 2;
    low -= half;
    high += half;
  }
  const double raw = (high - low) / std::max(1U, wanted), power = std::pow(10, std::floor(std::log10(raw)));
  const double ratio = raw / power;
  const double step = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  std::vector<double> ticks(static_cast<std::size_t>(last - first) + 1);
  for (std::size_t i = 0; i < ticks.size(); ++i) ticks[i] = (first + static_cast<double>(i)) * step;
  return ticks;
}

std::vector<double> log_ticks(double low, double high) {
  const bool fine = high < low * 100;
  std::vector<double> all;
  const int first = static_cast<int>(std::floor(std::log10(low))), last = static_cast<int>(std::ceil(std::log10(high)));
  for (int power = first; power <= last; ++power)
    for (const double digit : {1.0, 2.0, 5.0})
      if (digit == 1 || fine) all.push_back(digit * std::pow(10, power));
  // Only what is needed to cover the range; a little slack, because log10 and pow round.
  auto begin = all.begin(), end = all.end();
  while (end - begin > 2 && *(begin + 1) <= low * (1 + 1e-9)) ++begin;
  while (end - begin > 2 && *(end - 2) >= high * (1 - 1e-9)) --end;
  if (end - begin == 1) all.push_back(all.front() * 10), begin = all.begin(), end = all.end();
  return {begin, end};
}

std::string tick_label(double value) {
  static constexpr struct {
    double unit;
    const char* suffix;
  } kUnits[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}};
  for (const auto& [unit, suffix] : kUnits)
    if (std::abs(value) >= unit * (1 - 1e-9))
      return fmt::format("{:.6g}{}", value / (unit == 1e4 ? 1e3 : unit), suffix);
  return fmt::format("{:.6g}", value == 0 ? 0.0 : value);  // never "-0"
}

}  // namespace drover
