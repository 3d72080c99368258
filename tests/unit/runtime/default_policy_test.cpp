// What the default policy is to reach, and that moving jobs never makes it worse. Jobs have a heavy tail (bounded
// Pareto, alpha 1, from 1 to 1000 s); nodes share their processor.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/runtime/simulations.h"

namespace drover::simulate {
namespace {

double mean_slowdown(Options options, int seeds) {
  double sum = 0;
  for (int i = 0; i < seeds; ++i, ++options.seed) sum += simulate(options).mean_slowdown;
  return sum / seeds;
}

const std::string kDefault{kDefaultPolicy};

TEST(DefaultPolicy, SlowdownWithMigration) { EXPECT_LE(mean_slowdown(heavy_tail(kDefault, 0.9, 1'000'000), 3), 1.15); }

TEST(DefaultPolicy, SlowdownWithoutMigration) {
  Options options = heavy_tail(kDefault, 0.9, 1'000'000);
  options.policy.migrate = false;
  EXPECT_LE(mean_slowdown(options, 3), 1.30);
}

class MoveCost : public testing::TestWithParam<double> {};
INSTANTIATE_TEST_SUITE_P(Load, MoveCost, testing::Values(0.3, 0.5, 0.7, 0.9, 0.95), load_name);

TEST_P(MoveCost, NeverMakesMovingWorseThanPlacingAlone) {
  Options options = heavy_tail(kDefault, GetParam(), GetParam() < 0.6 ? 30'000 : 50'000);
  options.policy.migrate = false;
  const double alone = mean_slowdown(options, 2);
  options.policy.migrate = true;
  for (const double cost : {0.01, 0.1, 0.3, 1.0, 10.0, 100.0}) {
    options.cost = cost;
    EXPECT_LE(mean_slowdown(options, 2), 1.02 * alone) << "at a cost of " << cost << " s";
  }
}

TEST(DefaultPolicy, NeverMakesMovingWorseThanPlacingAloneOnUnequalNodes) {
  for (const double load : {0.7, 0.9}) {
    Options options = heavy_tail(kDefault, load, 50'000);
    options.speeds = {1, 0.25};
    options.policy.migrate = false;
    const double alone = mean_slowdown(options, 2);
    options.policy.migrate = true;
    for (const double cost : {0.1, 1.0, 10.0}) {
      options.cost = cost;
      EXPECT_LE(mean_slowdown(options, 2), 1.02 * alone) << "at " << load << ", at a cost of " << cost << " s";
    }
  }
}

// Time until the last of 640 jobs ends, over what no schedule can beat; mean of 100.
double makespan_over_bound(double slow, double cost) {
  Options options = heavy_tail(kDefault, 0.9, 640);
  options.batch = true;
  options.speeds = {1, slow};
  options.cost = cost;
  double sum = 0;
  for (int i = 0; i < 100; ++i, ++options.seed) {
    const Result result = simulate(options);
    sum += result.makespan / result.makespan_lower_bound;
  }
  return sum / 100;
}

TEST(DefaultPolicy, MakespanOfABatchOnUnequalNodes) {
  for (const double cost : {0.1, 1.0}) {
    EXPECT_LE(makespan_over_bound(0.5, cost), 1.10) << cost;
    EXPECT_LE(makespan_over_bound(0.25, cost), 1.12) << cost;
  }
}

}  // namespace
}  // namespace drover::simulate
