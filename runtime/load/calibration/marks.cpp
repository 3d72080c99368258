#include "runtime/load/calibration/marks.h"

#include <fmt/format.h>

#include <cmath>

namespace drover {

namespace {

constexpr double kSameCapacity = 0.01;

void apply_calibration(NodeMarks& out, const Calibration& calibration, double capacity) {
  const bool same_capacity = std::abs(calibration.capacity - capacity) <= kSameCapacity * capacity;
  for (const FactorCalibration& factor : calibration.factors) {
    const bool of_capacity = factor.factor == Factor::RunQueue || factor.factor == Factor::CpuShare;
    if (factor.verdict == Verdict::Undecided || (of_capacity && !same_capacity)) continue;
    Watermark& mark = out.marks[factor.factor];
    if (factor.verdict == Verdict::Measured) {
      mark.low = factor.low;
      mark.high = factor.high;
    } else {
      mark.weight = 0;
    }
    out.from[static_cast<std::size_t>(factor.factor)] = "calibrated " + calibration.date.substr(0, 10);
  }
}

}  // namespace

NodeMarks choose_marks(double capacity, bool shared_host, const std::optional<Calibration>& calibration,
                       const std::string& config_text, const std::string& config_file) {
  NodeMarks defaults;
  defaults.marks = default_watermarks(capacity);
  defaults.from.fill("default");
  if (calibration) defaults.speed = calibration->speed;
  const auto configure = [&](NodeMarks& marks) {
    const auto set = apply_config(marks.marks, config_text, config_file);
    for (std::size_t i = 0; i < kFactors; ++i)
      if (set[i]) marks.from[i] = "config";
  };
  NodeMarks plain = defaults;
  configure(plain);  // whatever is wrong with it by itself
  if (!calibration || shared_host) return plain;
  NodeMarks calibrated = defaults;
  apply_calibration(calibrated, *calibration, capacity);
  try {
    configure(calibrated);
  } catch (const std::runtime_error& conflict) {
    plain.warning =
        fmt::format("the calibration's watermarks are not used: {} by the calibration of {}; give both low and high",
                    conflict.what(), calibration->date);
    return plain;
  }
  return calibrated;
}

std::optional<Calibration> calibration_of_this_host(std::string& warning) {
  warning.clear();
  std::string path;
  try {
    path = calibration_path(calibration_host());
  } catch (const std::runtime_error&) {
    return std::nullopt;  // without a home there is none
  }
  try {
    auto calibration = load_calibration(path);
    if (!calibration) return std::nullopt;
    const std::string difference = identity_difference(calibration->machine, this_machine());
    if (difference.empty()) return calibration;
    warning = fmt::format("{} is not used: this is another machine: {}; run: drover calibrate", path, difference);
  } catch (const std::exception& error) {
    warning = error.what();
  }
  return std::nullopt;
}

}  // namespace drover
