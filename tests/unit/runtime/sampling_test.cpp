// Random numbers, distinct ranks, and averages of what arrives and of what others run.
#include "runtime/policy/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "runtime/load/foreign_average.h"
#include "runtime/policy/arrival_rate.h"

namespace drover {
namespace {

TEST(Random, IsTheSameOnEveryMachine) {
  // The first values of SplitMix64 for the seed 1234567, as its reference code has them.
  Random random(1234567);
  EXPECT_EQ(random(), 6457827717110365317U);
  EXPECT_EQ(random(), 3203168211198807973U);
  EXPECT_EQ(random(), 9817491932198370423U);
}

TEST(Random, IsUniform) {
  Random random(3);
  std::vector<int> counts(7);
  double sum = 0;
  constexpr int kDraws = 70'000;
  for (int i = 0; i < kDraws; ++i) {
    ++counts[random.below(7)];
    const double x = random.uniform();
    ASSERT_TRUE(x >= 0 && x < 1);
    sum += x;
  }
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 7.0, 400);  // four standard deviations
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.below(1), 0U);
}

void expect_distinct_and_alike(int size, int count) {
  Random random(11);
  std::map<int, int> times;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    const auto ranks = sample_ranks(size, 2, count, random, [](int rank) { return rank % 2 == 0; });
    ASSERT_EQ(ranks.size(), static_cast<std::size_t>(count));
    ASSERT_EQ(std::set<int>(ranks.begin(), ranks.end()).size(), ranks.size());
    for (const int rank : ranks) ++times[rank];
  }
  const int wanted = size / 2 - 1;
  EXPECT_EQ(times.size(), static_cast<std::size_t>(wanted));
  const double expected = 1.0 * kDraws * count / wanted;
  for (const auto& [rank, n] : times) {
    EXPECT_EQ(rank % 2, 0);
    EXPECT_NE(rank, 2);
    EXPECT_NEAR(n, expected, 5 * std::sqrt(expected)) << rank << " of " << size;
  }
}

TEST(SampleRanks, AreDistinctAndAllAlikeInSmallAndLargeClusters) {
  expect_distinct_and_alike(10, 3);   // from a list
  expect_distinct_and_alike(100, 3);  // by trying
}

TEST(SampleRanks, FindsTheFewThatAreWantedAmongMany) {
  Random random(1);
  for (int i = 0; i < 50; ++i) {
    auto ranks = sample_ranks(10'000, 0, 3, random, [](int rank) { return rank == 7 || rank == 9'999; });
    EXPECT_EQ(std::set<int>(ranks.begin(), ranks.end()), (std::set<int>{7, 9'999}));
  }
}

TEST(SampleRanks, OfNoneOrTooMany) {
  Random random(1);
  const auto any = [](int) { return true; };
  EXPECT_TRUE(sample_ranks(0, 0, 3, random, any).empty());
  EXPECT_TRUE(sample_ranks(1, 0, 3, random, any).empty());
  EXPECT_TRUE(sample_ranks(5, 0, 0, random, any).empty());
  EXPECT_TRUE(sample_ranks(5, 0, -1, random, any).empty());
  EXPECT_EQ(sample_ranks(5, 0, 2'000'000'000, random, any).size(), 4U);
  EXPECT_EQ(sample_ranks(5, -1, 9, random, any).size(), 5U);  // none is left out
}

TEST(ArrivalRate, FollowsWhatArrivesAndForgets) {
  ArrivalRate rate;
  EXPECT_DOUBLE_EQ(rate.per_second(0), 0);
  for (int i = 1; i <= 400; ++i) rate.arrived(i * 0.25);  // 4 per second
  EXPECT_NEAR(rate.per_second(100), 4, 0.15);
  EXPECT_NEAR(rate.per_second(100.2), 4, 0.15);
  EXPECT_NEAR(rate.per_second(300), 0, 1e-6);
}

// Of a batch nobody expects more for long.
TEST(ArrivalRate, IsNoMoreThanASilenceAllows) {
  ArrivalRate rate;
  for (int i = 0; i < 100; ++i) rate.arrived(10);
  EXPECT_NEAR(rate.per_second(10.01), 20, 0.1);
  EXPECT_DOUBLE_EQ(rate.per_second(12), 1 / 2.0);
  EXPECT_DOUBLE_EQ(rate.per_second(14), 1 / 4.0);
  ArrivalRate bytes;
  bytes.arrived(10, 65536);
  bytes.arrived(10, 65536);
  EXPECT_NEAR(bytes.per_second(12), 2 * 65536 / 5.0 * std::exp(-0.4), 1);
  EXPECT_NEAR(bytes.per_second(30), 2 * 65536 / 5.0 * std::exp(-4), 1);  // by then forgotten anyway
}

constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(ForeignAverage, TellsABurstFromWhatLasts) {
  ForeignAverage average;
  std::uint64_t now = 5 * kSecond;
  const auto seconds_of = [&](int seconds, double threads) {
    for (int i = 0; i < seconds; ++i) average.measured(threads, now += kSecond);
  };
  seconds_of(20, 0);
  seconds_of(2, 1);
  EXPECT_DOUBLE_EQ(average.recent(), 0.75);
  EXPECT_LT(average.lasting(), 0.25);
  seconds_of(2, 0);
  EXPECT_DOUBLE_EQ(average.recent(), 0.1875);
  seconds_of(10, 1);
  EXPECT_GT(average.lasting(), 0.65);
  seconds_of(20, 1);
  EXPECT_GT(average.lasting(), 0.95);
}

TEST(ForeignAverage, WeighsByTime) {
  ForeignAverage average;
  average.measured(7, 3 * kSecond);  // since when?
  EXPECT_EQ(average.recent(), 0);
  EXPECT_EQ(average.lasting(), 0);
  average.measured(1, 4 * kSecond);  // a young average is a plain mean
  EXPECT_DOUBLE_EQ(average.lasting(), 1);
  average.measured(0, 7 * kSecond);
  EXPECT_DOUBLE_EQ(average.lasting(), 0.25);
  average.measured(2, 7 * kSecond);  // no time has passed
  EXPECT_DOUBLE_EQ(average.lasting(), 0.25);
  average.measured(2, 60 * kSecond);  // who was stopped for a minute knows nothing older
  EXPECT_DOUBLE_EQ(average.lasting(), 2);
}

}  // namespace
}  // namespace drover
