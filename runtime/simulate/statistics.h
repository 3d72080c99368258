// Figures of many jobs.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace drover::simulate {

struct Interval {
  double mean = 0;
  double half_width_95 = 0;  // 0 where there are too few values
};

// Of a steady state, by the method of batch means (Law and Kelton): values next to each other depend on each other,
// means of 20 long batches hardly do. Student's t with 19 degrees of freedom.
Interval batch_means(std::span<const float> values);

// The value that the share `q` of all is not above; reorders them. 0 without values.
double quantile(std::vector<float>& values, double q);

// No schedule, not even a preemptive one that knows everything, ends earlier when all jobs are there at the start
// (uniform machines, Horvath, Lam and Sethi 1977):
//   max(max over k < machines of (k largest jobs) / (k fastest machines), all work / all speed)
double makespan_lower_bound(std::vector<double> work, std::vector<double> speeds);

}  // namespace drover::simulate
