// From curves to watermarks: pure functions on numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "runtime/load/calibration/calibrate.h"
#include "runtime/load/calibration/curve.h"

namespace drover {
namespace {

using Values = std::vector<double>;

// Level, value and slowdown all given; the level is the index.
Curve curve(const std::vector<std::pair<double, double>>& points) {
  Curve out;
  for (const auto& [value, slowdown] : points) out.push_back({static_cast<double>(out.size()), value, slowdown});
  return out;
}

TEST(Median, IsTheMiddle) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({9, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 100}), 3);
}

TEST(Isotonic, KeepsWhatRises) {
  EXPECT_EQ(isotonic({}), Values{});
  EXPECT_EQ(isotonic({3}), Values{3});
  EXPECT_EQ(isotonic({1, 2, 2, 5}), (Values{1, 2, 2, 5}));
}

TEST(Isotonic, PoolsWhatFalls) {
  EXPECT_EQ(isotonic({3, 1}), (Values{2, 2}));
  EXPECT_EQ(isotonic({1, 3, 2, 4}), (Values{1, 2.5, 2.5, 4}));
  EXPECT_EQ(isotonic({4, 3, 2, 1}), (Values{2.5, 2.5, 2.5, 2.5}));
  EXPECT_EQ(isotonic({1, 5, 3, 1, 9}), (Values{1, 3, 3, 3, 9}));
}

TEST(Isotonic, IsTheNearestRisingOne) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> noise(-1, 1);
  const auto distance = [](const Values& a, const Values& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
                              [](double x, double y) { return (x - y) * (x - y); });
  };
  for (int run = 0; run < 50; ++run) {
    Values values(9);
    for (double& value : values) value = noise(random);
    const Values best = isotonic(values);
    EXPECT_TRUE(std::is_sorted(best.begin(), best.end()));
    EXPECT_NEAR(std::accumulate(best.begin(), best.end(), 0.0), std::accumulate(values.begin(), values.end(), 0.0),
                1e-9);
    for (int other = 0; other < 50; ++other) {
      Values rising(9);
      for (double& value : rising) value = noise(random);
      std::sort(rising.begin(), rising.end());
      EXPECT_LE(distance(values, best), distance(values, rising) + 1e-12);
    }
  }
}

TEST(Derive, InterpolatesBetweenPoints) {
  const auto marks = derive_watermark(curve({{0, 0}, {100, 0}, {200, 0.1}, {300, 0.5}}), 0.05, 0.25);
  ASSERT_TRUE(marks);
  EXPECT_NEAR(marks->low, 150, 1e-9);
  EXPECT_NEAR(marks->high, 237.5, 1e-9);
}

TEST(Derive, ThresholdsOnAPointAreThatPoint) {
  const auto marks = derive_watermark(curve({{0, 0}, {10, 0.05}, {20, 0.25}, {30, 0.9}}), 0.05, 0.25);
  ASSERT_TRUE(marks);
  EXPECT_NEAR(marks->low, 10, 1e-9);
  EXPECT_NEAR(marks->high, 20, 1e-9);
}

TEST(Derive, BothThresholdsInOneStep) {
  const auto marks = derive_watermark(curve({{0, 0}, {100, 1}}), 0.05, 0.25);
  ASSERT_TRUE(marks);
  EXPECT_NEAR(marks->low, 5, 1e-9);
  EXPECT_NEAR(marks->high, 25, 1e-9);
  const auto equal = derive_watermark(curve({{0, 0}, {100, 1}}), 0.25, 0.25);
  ASSERT_TRUE(equal);
  EXPECT_EQ(equal->low, equal->high);
}

TEST(Derive, WithoutASlowProbeThereIsNone) {
  EXPECT_FALSE(derive_watermark(curve({{0, 0}, {100, 0.1}, {200, 0.2}}), 0.05, 0.25));
  EXPECT_FALSE(derive_watermark(curve({{0, 0}, {100, 0.25}}), 0.05, 0.25));  // not more than the threshold
  EXPECT_FALSE(derive_watermark({}, 0.05, 0.25));
  EXPECT_FALSE(derive_watermark(curve({{5, 0}}), 0.05, 0.25));
  EXPECT_FALSE(derive_watermark(curve({{5, 0}, {5, 9}}), 0.05, 0.25));  // slow, but not by this factor
}

TEST(Derive, OneDisturbedProbeDoesNotDecide) {
  // Without monotony the second point would put the high watermark near 100.
  const auto marks = derive_watermark(curve({{0, 0}, {100, 0.3}, {200, 0}, {300, 0}, {400, 0.8}}), 0.12, 0.25);
  ASSERT_TRUE(marks);
  EXPECT_GT(marks->low, 300);
  EXPECT_GT(marks->high, 300);
}

TEST(Derive, ValuesThatFallBackAreNoise) {
  const auto marks = derive_watermark(curve({{0, 0}, {110, 0}, {90, 0.02}, {300, 0.9}}), 0.05, 0.25);
  ASSERT_TRUE(marks);
  EXPECT_GT(marks->low, 100);
  EXPECT_LT(marks->high, 300);
  EXPECT_LE(marks->low, marks->high);
}

TEST(Derive, AFactorAtItsEndStillHasARoomAboveHigh) {
  // A CPU share can't be more than 1, however many programs wait; a node must be able to be above its watermark.
  const auto marks = derive_watermark(curve({{0, 0}, {0.5, 0}, {0.999, 0.1}, {1, 0.5}, {1, 1}}), 0.05, 0.25);
  ASSERT_TRUE(marks);
  EXPECT_LT(marks->high, 0.999);
  EXPECT_GT(marks->high, 0.9);
  EXPECT_LE(marks->low, marks->high);
}

TEST(Smoothed, DropsWhatNoLongerGrows) {
  const Curve smooth = smoothed(curve({{0, -0.1}, {0.5, 0.1}, {1, 0.3}, {1, 0.9}, {1.001, 2}}));
  ASSERT_EQ(smooth.size(), 3U);
  EXPECT_EQ(smooth[0].slowdown, 0);
  EXPECT_EQ(smooth[2].slowdown, 0.3);
}

FactorCalibration judged(Curve measured, std::string reason = "") {
  FactorCalibration factor{
      .factor = Factor::IoBlocks, .reason = std::move(reason), .load = "x", .curve = std::move(measured)};
  judge(factor, {100, 1000, 1}, 0.05, 0.25);
  return factor;
}

TEST(Judge, TellsFourVerdictsApart) {
  const FactorCalibration slow = judged(curve({{0, 0}, {100, 1}}));
  EXPECT_EQ(slow.verdict, Verdict::Measured);
  EXPECT_NEAR(slow.high, 25, 1e-9);
  EXPECT_EQ(slow.reason, "");
  const FactorCalibration harmless = judged(curve({{0, 0}, {5000, 0.1}}));
  EXPECT_EQ(harmless.verdict, Verdict::Harmless);
  EXPECT_EQ(harmless.reason, "does not slow programs here, up to 5000");
  const FactorCalibration weak = judged(curve({{0, 0}, {500, 0.1}}));  // its default high watermark was not reached
  EXPECT_EQ(weak.verdict, Verdict::Undecided);
  EXPECT_EQ(weak.reason, "does not slow programs up to 500, more could not be reached");
  EXPECT_EQ(judged({}, "no swap").verdict, Verdict::Impossible);
  FactorCalibration disturbed{.factor = Factor::IoBlocks,
                              .verdict = Verdict::Undecided,
                              .reason = "others",
                              .load = "x",
                              .curve = curve({{0, 0}, {100, 1}})};
  judge(disturbed, {100, 1000, 1}, 0.05, 0.25);
  EXPECT_EQ(disturbed.verdict, Verdict::Undecided);
  EXPECT_EQ(disturbed.reason, "others");
}

TEST(Levels, OfTheProcessorEndAtTwicePus) {
  for (const double capacity : {0.5, 1.0, 2.0, 64.0}) {
    const auto levels = cpu_levels(capacity);
    EXPECT_EQ(levels.front(), 0);
    EXPECT_EQ(levels.back(), 2 * capacity);
    EXPECT_TRUE(std::is_sorted(levels.begin(), levels.end()));
    EXPECT_EQ(std::adjacent_find(levels.begin(), levels.end()), levels.end());
    EXPECT_GE(levels.size(), 4U);
  }
}

TEST(Levels, QuickTakesEveryOther) {
  EXPECT_EQ(quick_levels({0, 1, 2, 3, 4}), (Values{0, 2, 4}));
  EXPECT_EQ(quick_levels({0, 1, 2, 3, 4, 5}), (Values{0, 2, 4, 5}));
  EXPECT_EQ(quick_levels({0, 1}), (Values{0, 1}));
}

}  // namespace
}  // namespace drover
