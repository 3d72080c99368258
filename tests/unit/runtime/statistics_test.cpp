// Figures of many jobs.
#include "runtime/simulate/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "runtime/policy/random.h"

namespace drover::simulate {
namespace {

TEST(BatchMeans, OfFewValuesIsTheMeanWithoutAnInterval) {
  EXPECT_DOUBLE_EQ(batch_means({}).mean, 0);
  const std::vector<float> few{1, 2, 6};
  EXPECT_DOUBLE_EQ(batch_means(few).mean, 3);
  EXPECT_DOUBLE_EQ(batch_means(few).half_width_95, 0);
}

TEST(BatchMeans, OfEqualBatchesIsExact) {
  std::vector<float> values;
  for (int i = 0; i < 400; ++i) values.push_back(i % 2 == 0 ? 1 : 3);
  EXPECT_DOUBLE_EQ(batch_means(values).mean, 2);
  EXPECT_NEAR(batch_means(values).half_width_95, 0, 1e-12);
}

// Batches of 10 that alternate between 0 and 2: the deviation of the 20 means is sqrt(20/19).
TEST(BatchMeans, ByHand) {
  std::vector<float> values;
  for (int i = 0; i < 200; ++i) values.push_back(i / 10 % 2 == 0 ? 0 : 2);
  EXPECT_NEAR(batch_means(values).half_width_95, 2.093 * std::sqrt(20.0 / 19) / std::sqrt(20.0), 1e-9);
}

TEST(BatchMeans, CoversTheMeanNineteenTimesOfTwenty) {
  Random random(4);
  int covered = 0;
  constexpr int kTimes = 1000;
  for (int time = 0; time < kTimes; ++time) {
    std::vector<float> values;
    for (int i = 0; i < 400; ++i) values.push_back(static_cast<float>(random.uniform()));
    const Interval interval = batch_means(values);
    covered += std::abs(interval.mean - 0.5) <= interval.half_width_95;
  }
  EXPECT_NEAR(covered, 950, 25);
}

TEST(Quantile, IsTheValueThatTheShareIsNotAbove) {
  std::vector<float> none, values(101);
  EXPECT_DOUBLE_EQ(quantile(none, 0.5), 0);
  std::iota(values.rbegin(), values.rend(), 0.0F);
  for (const double q : {0.0, 0.01, 0.5, 0.99, 1.0}) EXPECT_NEAR(quantile(values, q), 100 * q, 1) << q;
  EXPECT_DOUBLE_EQ(quantile(values, 0), 0);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 100);
}

TEST(MakespanBound, IsTheLargestJobOrTheSharesOfAll) {
  EXPECT_DOUBLE_EQ(makespan_lower_bound({1, 2, 3}, {1}), 6);
  EXPECT_DOUBLE_EQ(makespan_lower_bound({3, 3, 3}, {1, 1}), 4.5);
  EXPECT_DOUBLE_EQ(makespan_lower_bound({1, 10, 1}, {1, 1}), 10);                      // the largest can't be split
  EXPECT_DOUBLE_EQ(makespan_lower_bound({1, 10, 1}, {0.5, 2}), 5);                     // it goes to the fastest
  EXPECT_DOUBLE_EQ(makespan_lower_bound({6, 6, 1}, {0.1, 1, 2}), 4.1935483870967745);  // all 13 over 3.1
  EXPECT_DOUBLE_EQ(makespan_lower_bound({6, 6}, {0.1, 1, 2}), 4);                      // two on the two fastest
  EXPECT_DOUBLE_EQ(makespan_lower_bound({4}, {1, 2, 1}), 2);                           // more nodes than jobs
}

}  // namespace
}  // namespace drover::simulate
