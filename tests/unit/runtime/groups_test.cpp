// How nodes are divided into groups, what a group tells of itself, and what sharing costs by the model.
#include "runtime/policy/groups.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "runtime/policy/notable.h"
#include "runtime/simulate/exchange_cost.h"
#include "tests/unit/runtime/nodes.h"

namespace drover {
namespace {

TEST(Groups, OneUpToTheThreshold) {
  for (const int size : {1, 2, 3, 255, 256}) {
    const GroupLayout layout = lay_out_groups(size, 256);
    EXPECT_FALSE(layout.two_level()) << size;
    EXPECT_EQ(layout.group_of(size - 1), 0);
    EXPECT_EQ(layout.count(0), size);
  }
  EXPECT_TRUE(lay_out_groups(257, 256).two_level());
  EXPECT_TRUE(lay_out_groups(3, 2).two_level());
}

TEST(Groups, AreBlocksOfAboutTheSameSize) {
  for (const int size : {3, 4, 5, 9, 16, 17, 100, 257, 1000, 1024, 4096, 100'000, 300'000}) {
    const GroupLayout layout = lay_out_groups(size, 2);
    int next = 0, least = size, most = 0;
    for (int group = 0; group < layout.groups; ++group) {
      EXPECT_EQ(layout.first(group), next);
      for (int rank = layout.first(group); rank < layout.end(group); ++rank) ASSERT_EQ(layout.group_of(rank), group);
      least = std::min(least, layout.count(group));
      most = std::max(most, layout.count(group));
      next = layout.end(group);
    }
    EXPECT_EQ(next, size);
    EXPECT_LE(most - least, 1) << size;
    EXPECT_LE(most, kMaxGroupMembers) << size;
    if (size <= 250'000) {
      EXPECT_NEAR(layout.groups, std::sqrt(size), 1) << size;
    }
  }
}

std::vector<NodeView> nodes_of(std::initializer_list<double> loads) {
  std::vector<NodeView> nodes;
  for (const double load : loads) nodes.push_back(node_of(load));
  return nodes;
}

TEST(Notable, AreTheBestPlacesAndTheMostCrowded) {
  const auto group = nodes_of({3, 2, 0, 2, 2, 9, 0, 2, 2, 2, 0, 7, 1, 1, 2, 1});
  const auto chosen = choose_notable(group, 1);
  EXPECT_EQ(std::set<int>(chosen.begin(), chosen.begin() + 3), (std::set<int>{2, 6, 10}));
  EXPECT_EQ(std::set<int>(chosen.begin() + 3, chosen.begin() + 6), (std::set<int>{12, 13, 15}));
  EXPECT_EQ(std::vector<int>(chosen.begin() + 6, chosen.end()), (std::vector<int>{5, 11}));
}

TEST(Notable, OfAFewAllAreListedOnce) {
  const auto group = nodes_of({3, 0, 1});
  const auto chosen = choose_notable(group, 1);
  EXPECT_EQ(chosen.size(), 3U);
  EXPECT_EQ(std::set<int>(chosen.begin(), chosen.end()), (std::set<int>{0, 1, 2}));
  EXPECT_TRUE(choose_notable({}, 1).empty());
}

TEST(Notable, NobodyWhoIsNotThere) {
  auto group = nodes_of({0, 0, 5});
  group[0].usable = group[2].usable = false;
  EXPECT_EQ(choose_notable(group, 1), std::vector<int>{1});
}

TEST(Notable, NodesToBeLeftComeBeforeCrowdedOnes) {
  auto group = nodes_of({1, 1, 1, 1, 1, 1, 1, 5, 6, 7});
  group[0].accepts = false;
  group[0].leaving = true;
  const auto chosen = choose_notable(group, 1);
  EXPECT_EQ(std::vector<int>(chosen.begin() + kNotableReceivers, chosen.end()), (std::vector<int>{0, 9}));
}

TEST(Notable, AlikeOnesTakeTurns) {
  const std::vector<NodeView> group(40, node_of(0));
  std::set<int> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed)
    for (const int index : choose_notable(group, seed)) seen.insert(index);
  EXPECT_EQ(seen.size(), group.size());
}

TEST(GroupSums, CountOnlyWhoIsThere) {
  auto group = nodes_of({0, 0, 1, 4, 9});
  group[1].accepts = false;
  group[4].usable = false;
  for (NodeView& node : group) node.arrivals_per_second = 2;
  const GroupSums sums = sum_up(group);
  EXPECT_EQ(sums.members, 4);
  EXPECT_EQ(sums.free, 1);
  EXPECT_EQ(sums.busy, 2);
  EXPECT_EQ(sums.jobs, 5);
  EXPECT_FLOAT_EQ(sums.load, 5);
  EXPECT_FLOAT_EQ(sums.capacity, 4);
  EXPECT_FLOAT_EQ(sums.arrivals_per_second, 8);
}

double arrivals_of(const std::vector<NodeView>& nodes) {
  return std::accumulate(nodes.begin(), nodes.end(), 0.0,
                         [](double sum, const NodeView& node) { return sum + node.arrivals_per_second; });
}

TEST(StandForGroup, ArrivalsComeInProportionToTheFreePlacesThatAreListed) {
  GroupSums sums;
  sums.arrivals_per_second = 30;
  sums.free = 8;
  auto listed = nodes_of({0, 0, 5});
  stand_for_group(listed, sums);
  EXPECT_NEAR(arrivals_of(listed), 30 * 2.0 / 8, 1e-6);
  sums.free = 2;
  stand_for_group(listed, sums);
  EXPECT_NEAR(arrivals_of(listed), 30, 1e-6);
  sums.free = 0;  // all of them are busy: arrivals count in full
  listed = nodes_of({2, 5});
  stand_for_group(listed, sums);
  EXPECT_NEAR(arrivals_of(listed), 30, 1e-6);
  sums.arrivals_per_second = NAN;  // from another node: anything
  stand_for_group(listed, sums);
  EXPECT_EQ(arrivals_of(listed), 0);
}

TEST(StandForGroup, AFreePlaceIsWorthALittleLessThanOneOfTheOwnGroup) {
  auto listed = nodes_of({0, 1, 2});
  stand_for_group(listed, {});
  EXPECT_LT(place_value(listed[0]), place_value(node_of(0)));
  EXPECT_GT(place_value(listed[0]), place_value(node_of(1)));
  EXPECT_EQ(listed[1].load, 1);  // givers must not look more crowded than they are
  EXPECT_EQ(listed[2].load, 2);
}

using simulate::exchange_cost;

TEST(ExchangeCost, OneLevelGrowsWithTheNodes) {
  const auto cost = exchange_cost({64, 1}, {100, 1000, 1100, 16});
  EXPECT_DOUBLE_EQ(cost.mean.messages, 6 + 63);
  EXPECT_DOUBLE_EQ(cost.mean.bytes, 63 * 100 + 63 * 116);
  EXPECT_DOUBLE_EQ(cost.worst.messages, cost.mean.messages);
  EXPECT_DOUBLE_EQ(exchange_cost({1, 1}).mean.messages, 0);
}

TEST(ExchangeCost, TwoLevelsGrowWithTheirRoot) {
  // Four groups of four: vectors 2 + 3 messages each; each leader 2 + 3 among leaders; in each group 3 of the broadcast
  // and 3 rings.
  const auto cost = exchange_cost({16, 4}, {100, 1000, 1100, 16});
  EXPECT_DOUBLE_EQ(cost.mean.messages, 5 + (5 + 3 + 3) / 4.0);
  EXPECT_DOUBLE_EQ(cost.worst.messages, 5 + 5 + 2 + 3);
  const double vectors = 3 * 100 + 3 * 116;
  EXPECT_DOUBLE_EQ(cost.mean.bytes, vectors + (3 * 1000 + 3 * 1116 + 3 * (4 * 1000 + 16)) / 4.0);
  EXPECT_DOUBLE_EQ(cost.worst.bytes, vectors + 3 * 1000 + 3 * 1116);
  const auto one = exchange_cost({4096, 1}), two = exchange_cost(lay_out_groups(4096, 256));
  EXPECT_LT(two.worst.messages, one.mean.messages / 15);
  EXPECT_LT(two.worst.bytes, one.mean.bytes / 4);
}

}  // namespace
}  // namespace drover
