// The simulator on two levels: what nodes know, how old it is, and that it does not cost much.
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/simulate/shared_tables.h"
#include "tests/unit/runtime/nodes.h"
#include "tests/unit/runtime/simulations.h"

namespace drover::simulate {
namespace {

long usable_in(const std::vector<NodeView>& table, int first, int end) {
  return std::count_if(table.begin() + first, table.begin() + end, [](const NodeView& node) { return node.usable; });
}

TEST(SharedTables, OthersGroupsAreKnownARoundLaterAndInPart) {
  SharedTables tables(400, 256);  // 20 groups of 20
  tables.round([](int rank) { return node_of(rank); }, 0);
  EXPECT_EQ(usable_in(tables.of(0), 0, 20), 20);
  EXPECT_EQ(usable_in(tables.of(0), 20, 400), 0);
  tables.round([](int rank) { return node_of(rank + 1); }, 1);
  EXPECT_EQ(usable_in(tables.of(0), 20, 400), 19 * kNotableNodes);
  EXPECT_EQ(tables.of(0)[5].load, 6);
  EXPECT_EQ(tables.of(0)[20].load, 20);  // the best place of its group, as it was a round ago
  EXPECT_EQ(tables.told(0, 20), 0);
  EXPECT_EQ(tables.told(0, 5), 1);
  EXPECT_EQ(usable_in(tables.notable(), 0, 400), 20 * kNotableNodes);
}

TEST(SharedTables, WhoIsNotListedAnyMoreIsForgotten) {
  SharedTables tables(400, 256);
  const auto best_is = [](int best) { return [best](int rank) { return node_of(rank == best ? 0 : 3); }; };
  tables.round(best_is(25), 0);
  tables.round(best_is(25), 1);
  EXPECT_TRUE(tables.of(0)[25].usable);
  EXPECT_EQ(tables.of(0)[25].state, NodeState::Free);
  const auto crowded = [](int rank) { return node_of(rank == 25 ? 2 : rank < 34 ? 1 : 4); };
  tables.round(crowded, 2);
  tables.round(crowded, 3);
  EXPECT_FALSE(tables.of(0)[25].usable);
}

TEST(SharedTables, NewsGoesToTheGroup) {
  SharedTables tables(400, 256);
  for (const double now : {0, 1}) tables.round([](int) { return node_of(2); }, now);
  tables.tell(25, node_of(0), 1.5);
  EXPECT_EQ(tables.of(30)[25].load, 0);
  EXPECT_EQ(tables.of(30)[25].usable, true);
  EXPECT_FALSE(tables.of(0)[25].usable && tables.of(0)[25].state == NodeState::Free);
}

Options many(int nodes, int two_level_above, double load) {
  Options options = heavy_tail("balanced", load, 40'000);
  options.nodes = nodes;
  options.two_level_above = two_level_above;
  return options;
}

TEST(TwoLevels, AreNotSeenBelowTheThreshold) {
  const Result a = simulate(many(64, 64, 0.9)), b = simulate(many(64, 1'000'000, 0.9));
  EXPECT_EQ(a.groups, 1);
  EXPECT_EQ(a.mean_slowdown, b.mean_slowdown);
  Options true_table = many(400, 2, 0.9);
  true_table.age_of_table = 0;
  EXPECT_EQ(simulate(true_table).groups, 1);
}

TEST(TwoLevels, AgeOfWhatIsBelieved) {
  const Result one = simulate(many(256, 256, 0.9)), two = simulate(many(256, 255, 0.9));
  EXPECT_EQ(two.groups, 16);
  EXPECT_LE(one.worst_age, 1.0001);  // a round
  EXPECT_GT(one.mean_age, 0);
  EXPECT_GT(two.mean_age, one.mean_age);
  EXPECT_LE(two.worst_age, 2.0001);  // and one for the second level
  EXPECT_GT(two.worst_age, 1);
}

TEST(TwoLevels, CostFewerMessages) {
  const Result one = simulate(many(256, 256, 0.9)), two = simulate(many(256, 255, 0.9));
  EXPECT_LT(two.exchange.mean.messages, one.exchange.mean.messages / 5);
  EXPECT_LT(two.exchange.mean.bytes, one.exchange.mean.bytes);
  EXPECT_LT(two.announcement_messages_per_node, one.announcement_messages_per_node / 5);
}

TEST(TwoLevels, DoNearlyAsWell) {
  for (const double load : {0.7, 0.9}) {
    const double one = simulate(many(400, 400, load)).mean_slowdown, two = simulate(many(400, 256, load)).mean_slowdown;
    EXPECT_LE(two, 1.1 * one) << load;
  }
}

}  // namespace
}  // namespace drover::simulate
