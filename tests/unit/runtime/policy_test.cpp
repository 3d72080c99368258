#include <gtest/gtest.h>

#include <set>

#include "runtime/policy/migration.h"

namespace drover {
namespace {

std::vector<NodeView> nodes(std::initializer_list<NodeState> states) {
  std::vector<NodeView> table;
  for (const NodeState state : states) {
    table.emplace_back();
    table.back().sample.state = state;
    table.back().sample.movable_jobs = 1;
  }
  return table;
}

constexpr auto kFree = NodeState::Free, kNormal = NodeState::Normal, kBusy = NodeState::Busy;

TEST(Probes, AreDistinctOthersAndAtMostTheLimit) {
  std::mt19937_64 random(1);
  const auto table = nodes({kFree, kFree, kBusy, kNormal, kFree, kFree});
  std::set<int> seen;
  for (int i = 0; i < 200; ++i) {
    const auto ranks = choose_probes(table, 2, 3, random);
    EXPECT_EQ(ranks.size(), 3U);
    EXPECT_EQ(std::set<int>(ranks.begin(), ranks.end()).size(), 3U);
    EXPECT_EQ(std::count(ranks.begin(), ranks.end(), 2), 0);
    seen.insert(ranks.begin(), ranks.end());
  }
  EXPECT_EQ(seen, (std::set<int>{0, 1, 3, 4, 5}));
}

TEST(Probes, AreTheSameForTheSameSeed) {
  const auto table = nodes({kFree, kFree, kBusy, kNormal, kFree, kFree});
  std::mt19937_64 one(7), other(7);
  EXPECT_EQ(choose_probes(table, 0, 5, one), choose_probes(table, 0, 5, other));
}

TEST(Probes, PassOverUnusableAndDrainingNodes) {
  std::mt19937_64 random(1);
  auto table = nodes({kFree, kFree, kFree, kFree});
  table[1].usable = false;
  table[2].sample.draining = 1;
  EXPECT_EQ(choose_probes(table, 0, 3, random), std::vector<int>{3});
  EXPECT_TRUE(choose_probes(table, 0, 0, random).empty());
  EXPECT_TRUE(choose_probes(table, 0, -1, random).empty());
}

TEST(BusyNodes, AreAskedOnlyIfTheyHaveAJobToGive) {
  std::mt19937_64 random(1);
  auto table = nodes({kFree, kBusy, kBusy, kNormal, kBusy});
  table[2].sample.movable_jobs = 0;
  table[4].usable = false;
  EXPECT_EQ(choose_busy(table, 0, 3, random), std::vector<int>{1});
  EXPECT_TRUE(choose_busy(nodes({kFree, kNormal}), 0, 3, random).empty());
}

Candidate job(std::int64_t id, double age, std::uint64_t kib) {
  Candidate candidate;
  candidate.job = id;
  candidate.age_seconds = candidate.here_seconds = age;
  candidate.resident_kib = kib;
  return candidate;
}

// safety 2, 0.05 s fixed and 1 GB/s, from 3 jobs on one PU to an empty one: gain 2, so the needed age is the cost.
TEST(Migrant, MovesOnlyWhenItsAgePaysForTheMove) {
  const NodeCount source{3, 1}, destination{0, 1};
  const MigrationRule rule;
  const auto gigabyte = static_cast<std::uint64_t>(1e9 / 1024);
  EXPECT_FALSE(choose_migrant(std::vector{job(1, 1.04, gigabyte), job(2, 1.9, 0)}, source, destination, 0, rule));
  const auto choice = choose_migrant(std::vector{job(1, 2.1, gigabyte)}, source, destination, 0, rule);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->job, 1);
  EXPECT_NEAR(choice->cost_seconds, 1.05, 0.001);
  EXPECT_NEAR(choice->needed_age_seconds, 1.05, 0.001);
}

TEST(Migrant, IsTheOneWithTheGreatestAgeForItsCost) {
  const NodeCount source{4, 1}, destination{0, 1};
  const auto choice = choose_migrant(std::vector{job(1, 10, 100), job(2, 500, 1'000'000), job(3, 100, 100)}, source,
                                     destination, 0, {});
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->job, 3);  // 1996 times its cost; job 2 is older, but 466 times
}

TEST(Migrant, StaysWhereNothingIsGained) {
  const std::vector<Candidate> jobs{job(1, 1000, 0)};
  EXPECT_FALSE(choose_migrant(jobs, {1, 1}, {0, 1}, 0, {}));
  EXPECT_FALSE(choose_migrant(jobs, {2, 1}, {1, 1}, 0, {}));
  EXPECT_TRUE(choose_migrant(jobs, {2, 1}, {0, 1}, 0, {}));
  EXPECT_FALSE(choose_migrant(jobs, {8, 8}, {0, 1}, 0, {}));  // eight PUs for eight jobs
  EXPECT_TRUE(choose_migrant(jobs, {2, 1}, {3, 8}, 0, {}));
}

TEST(Migrant, IsNotPinnedNotNewAndFitsIntoMemory) {
  const NodeCount source{4, 1}, destination{0, 1};
  auto one = job(1, 1000, 2'000'000);
  EXPECT_FALSE(choose_migrant(std::vector{one}, source, destination, 1'000'000, {}));
  EXPECT_TRUE(choose_migrant(std::vector{one}, source, destination, 3'000'000, {}));
  EXPECT_TRUE(choose_migrant(std::vector{one}, source, destination, 0, {}));  // not known
  one.here_seconds = 1;
  EXPECT_FALSE(choose_migrant(std::vector{one}, source, destination, 0, {}));
  one.here_seconds = 1000;
  one.movable = false;
  EXPECT_FALSE(choose_migrant(std::vector{one}, source, destination, 0, {}));
}

}  // namespace
}  // namespace drover
