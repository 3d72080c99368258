#include "runtime/simulate/statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace drover::simulate {

Interval batch_means(std::span<const float> values) {
  constexpr std::size_t kBatches = 20;
  constexpr double kStudent = 2.093;  // 97.5 % quantile, 19 degrees of freedom
  Interval result;
  if (values.empty()) return result;
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  const std::size_t each = values.size() / kBatches;
  if (each < 10) return result;
  double squares = 0;
  for (std::size_t batch = 0; batch < kBatches; ++batch) {
    const auto part = values.subspan(batch * each, each);
    const double mean = std::accumulate(part.begin(), part.end(), 0.0) / static_cast<double>(each);
    squares += (mean - result.mean) * (mean - result.mean);
  }
  result.half_width_95 = kStudent * std::sqrt(squares / (kBatches - 1) / kBatches);
  return result;
}

double quantile(std::vector<float>& values, double q) {
  if (values.empty()) return 0;
  const auto last = static_cast<double>(values.size() - 1);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::ceil(std::clamp(q, 0.0, 1.0) * last));
  std::nth_element(values.begin(), at, values.end());
  return static_cast<double>(*at);
}

double makespan_lower_bound(std::vector<double> work, std::vector<double> speeds) {
  std::sort(work.begin(), work.end(), std::greater<>());
  std::sort(speeds.begin(), speeds.end(), std::greater<>());
  double most = 0, jobs = 0, machines = 0;
  for (std::size_t k = 0; k + 1 < speeds.size() && k < work.size(); ++k) {
    jobs += work[k];
    machines += speeds[k];
    most = std::max(most, jobs / machines);
  }
  const double all = std::accumulate(work.begin(), work.end(), 0.0);
  return std::max(most, all / std::accumulate(speeds.begin(), speeds.end(), 0.0));
}

}  // namespace drover::simulate
