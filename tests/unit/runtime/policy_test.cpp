// Where jobs start, who is asked for one, and who is paired with whom.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "runtime/policy/pair_up.h"
#include "runtime/policy/place.h"
#include "runtime/policy/pull.h"
#include "runtime/policy/random.h"
#include "tests/unit/runtime/nodes.h"

namespace drover {
namespace {

std::vector<NodeView> nodes_of(std::initializer_list<double> loads) {
  std::vector<NodeView> table;
  for (const double load : loads) table.push_back(node_of(load));
  return table;
}

PolicySettings settings_of(const char* name) {
  PolicySettings settings;
  settings.policy = find_policy(name).value();
  return settings;
}

Placement place_at(const PolicySettings& settings, int self, const std::vector<NodeView>& table, std::uint64_t seed) {
  return place(settings, self, table[static_cast<std::size_t>(self)], table, seed);
}

std::set<int> asked_with_any_seed(const PolicySettings& settings, int self, const std::vector<NodeView>& table) {
  std::set<int> ranks;
  for (std::uint64_t seed = 0; seed < 300; ++seed)
    for (const Ask& ask : place_at(settings, self, table, seed).ask) ranks.insert(ask.rank);
  return ranks;
}

TEST(Policies, AreFoundByNameAndTheDefaultIsOneOfThem) {
  for (const Policy& policy : all_policies()) {
    EXPECT_EQ(find_policy(policy.name)->name, policy.name);
    EXPECT_FALSE(policy.summary.empty());
  }
  EXPECT_TRUE(find_policy(kDefaultPolicy));
  EXPECT_FALSE(find_policy("nonesuch"));
  EXPECT_FALSE(find_policy(""));
}

TEST(View, TheNthThreadOfOneProcessorCostsItsOwnShareAndWhatItHoldsUp) {
  for (int n = 1; n <= 5; ++n) EXPECT_DOUBLE_EQ(delay_added(node_of(0), n), 2 * n - 1);
  EXPECT_DOUBLE_EQ(delay_added(node_of(0, 0.5), 1), 2);
  NodeView wide = node_of(0);
  wide.capacity = 4;
  EXPECT_DOUBLE_EQ(delay_added(wide, 4), 1);  // nobody shares yet
  EXPECT_DOUBLE_EQ(delay_added(wide, 5), 25.0 / 4 - 4);
  EXPECT_DOUBLE_EQ(progress(wide, 8), 0.5);
  EXPECT_DOUBLE_EQ(place_value(node_of(1)), 1.0 / 3);
}

TEST(View, ASampleTellsTheState) {
  LoadSample sample;
  sample.capacity = 4;
  sample.demand = 6;
  sample.speed = 0.5F;
  sample.jobs = 3;
  sample.movable_jobs = 2;
  sample.state = NodeState::Busy;
  NodeView view = view_of(sample, true);
  EXPECT_DOUBLE_EQ(view.load, 6);
  EXPECT_DOUBLE_EQ(view.speed, 0.5);
  EXPECT_EQ(view.jobs, 3);
  EXPECT_EQ(view.movable, 2);
  EXPECT_TRUE(view.usable && view.accepts && !view.leaving);
  sample.flags = kNoForeignJobs;
  EXPECT_TRUE(!view_of(sample, true).accepts && !view_of(sample, true).leaving);
  sample.flags = kDraining;
  EXPECT_TRUE(!view_of(sample, true).accepts && view_of(sample, true).leaving);
  EXPECT_TRUE(view_of(sample, true).draining);
  sample.flags = kForeignJobsLeave;
  EXPECT_FALSE(view_of(sample, true).leaving);  // there is none
  sample.foreign_jobs = 1;
  EXPECT_TRUE(view_of(sample, true).leaving && !view_of(sample, true).draining);
  sample.speed = 0;  // not calibrated
  EXPECT_DOUBLE_EQ(view_of(sample, false).speed, 1);
  EXPECT_FALSE(view_of(sample, false).usable);
}

TEST(View, WhatIsNoNumberDoesNoHarm) {
  NodeView view;
  view.load = std::nan("");
  view.capacity = -1;
  view.speed = std::numeric_limits<double>::infinity();
  view.state = static_cast<NodeState>(200);
  view = sane(view);
  EXPECT_EQ(view.load, 0);
  EXPECT_GT(view.capacity, 0);
  EXPECT_TRUE(std::isfinite(view.speed));
  EXPECT_EQ(view.state, NodeState::Normal);
}

TEST(View, AJobThatHasJustComeOrGoneCountsAtOnce) {
  LoadSample sample;
  sample.capacity = 2;
  const Watermarks marks = default_watermarks(2);
  EXPECT_EQ(with_demand(sample, 0, marks).state, NodeState::Free);
  const LoadSample full = with_demand(sample, 2, marks);
  EXPECT_EQ(full.state, NodeState::Busy);
  EXPECT_FLOAT_EQ(full.demand, 2);
  EXPECT_EQ(with_demand(full, 1, marks).state, NodeState::Free);
}

TEST(Place, HereAsksNobody) {
  EXPECT_TRUE(place_at(settings_of("none"), 0, nodes_of({9, 0, 0}), 1).ask.empty());
  EXPECT_TRUE(place_at(settings_of("pairing"), 0, nodes_of({9, 0, 0}), 1).ask.empty());
}

TEST(Place, RandomTakesEveryOpenNodeHereToo) {
  auto table = nodes_of({0, 5, 0, 0, 0});
  table[3].usable = false;
  table[4].accepts = false;
  const auto settings = settings_of("random");
  EXPECT_EQ(asked_with_any_seed(settings, 0, table), (std::set<int>{1, 2}));
  int here = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) here += place_at(settings, 0, table, seed).ask.empty();
  EXPECT_NEAR(here, 1000, 100);
}

TEST(Place, BestOfTakesTheLeastLoadedOfItsChoices) {
  auto settings = settings_of("best-of-d");
  settings.choices = 4;
  const auto table = nodes_of({3, 2, 1, 4});
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto placement = place_at(settings, 0, table, seed);
    ASSERT_EQ(placement.ask.size(), 1U);
    EXPECT_EQ(placement.ask[0].rank, 2);
  }
  EXPECT_TRUE(place_at(settings, 2, table, 1).ask.empty());  // it is the best itself
  settings.choices = 1;
  EXPECT_EQ(asked_with_any_seed(settings, 0, table), (std::set<int>{1, 2, 3}));
  settings.choices = 0;
  EXPECT_TRUE(place_at(settings, 0, table, 1).ask.empty());
}

TEST(Place, BestOfPrefersTheFasterOfEquallyLoaded) {
  auto settings = settings_of("best-of-d");
  settings.choices = 3;
  const std::vector table{node_of(1, 0.5), node_of(1, 2), node_of(1)};
  EXPECT_EQ(asked_with_any_seed(settings, 0, table), std::set<int>{1});
}

TEST(Place, ThresholdAsksOnlyWhenBusyAndOnlyForAFreeNode) {
  const auto settings = settings_of("threshold");
  auto table = nodes_of({1, 0, 3, 0, 0, 0});
  table[4].usable = false;
  table[5].accepts = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto placement = place_at(settings, 0, table, seed);
    EXPECT_EQ(placement.ask.size(), 3U);  // 1, 2, 3: it does not look at their load
    EXPECT_FALSE(placement.best_answer);
    for (const Ask& ask : placement.ask) EXPECT_TRUE(ask.terms.only_if_free);
  }
  EXPECT_EQ(asked_with_any_seed(settings, 0, table), (std::set<int>{1, 2, 3}));
  EXPECT_TRUE(place_at(settings, 1, table, 1).ask.empty());
}

TEST(Place, ShortestHearsAllAndTakesTheBest) {
  const auto placement = place_at(settings_of("shortest"), 0, nodes_of({2, 1, 3, 0}), 7);
  EXPECT_EQ(placement.ask.size(), 3U);
  EXPECT_TRUE(placement.best_answer);
  for (const Ask& ask : placement.ask) EXPECT_FALSE(admits(node_of(0), ask.terms));
  EXPECT_TRUE(place_at(settings_of("shortest"), 3, nodes_of({2, 1, 3, 0}), 7).ask.empty());
}

TEST(Place, ConfirmedAsksTheBestOfTheTableForWhatItPromises) {
  auto settings = settings_of("balanced");
  settings.probe_limit = 2;
  const auto table = nodes_of({4, 2, 0, 1, 4});
  const auto placement = place_at(settings, 0, table, 1);
  ASSERT_EQ(placement.ask.size(), 2U);
  EXPECT_EQ(placement.ask[0].rank, 2);
  EXPECT_EQ(placement.ask[1].rank, 3);
  EXPECT_TRUE(placement.best_answer);
  EXPECT_TRUE(admits(node_of(0), placement.ask[0].terms));
  EXPECT_FALSE(admits(node_of(1), placement.ask[0].terms));  // it is no longer what the table said
  EXPECT_TRUE(place_at(settings, 2, table, 1).ask.empty());  // no better place than its own
  settings.probe_limit = -1;
  EXPECT_TRUE(place_at(settings, 0, table, 1).ask.empty());
}

TEST(Place, ConfirmedSpreadsOverPlacesThatAreAlike) {
  EXPECT_EQ(asked_with_any_seed(settings_of("balanced"), 0, nodes_of({2, 0, 0, 0, 0, 0, 0})),
            (std::set<int>{1, 2, 3, 4, 5, 6}));
}

TEST(Place, ANodeThatDrainsTakesAnyOtherPlace) {
  for (const double load : {0.0, 0.5, 5.0})  // FREE or not
    for (const Policy& policy : all_policies()) {
      PolicySettings settings;
      settings.policy = policy;
      auto table = nodes_of({load, 5, 5, 5});
      table[0].draining = table[0].leaving = true;
      table[0].accepts = table[3].accepts = false;
      EXPECT_EQ(asked_with_any_seed(settings, 0, table), (std::set<int>{1, 2})) << policy.name;
      for (std::uint64_t seed = 0; seed < 50; ++seed) {
        const auto placement = place_at(settings, 0, table, seed);
        const bool sure = !placement.ask.empty() && admits(table[1], placement.ask[0].terms);
        EXPECT_TRUE(sure || placement.best_answer) << policy.name;  // somebody takes it, however loaded
      }
    }
  EXPECT_TRUE(place_at(settings_of("balanced"), 0, nodes_of({0, 5, 5}), 1).ask.empty());
}

TEST(Place, ANodeThatOthersJobsAreToLeaveKeepsItsOwnWhileItIsTheBetterPlace) {
  for (const char* name : {"threshold", "shortest", "balanced"}) {
    auto table = nodes_of({0, 5, 5});
    table[0].leaving = true;
    table[0].accepts = false;
    EXPECT_TRUE(place_at(settings_of(name), 0, table, 1).ask.empty()) << name;
  }
}

TEST(Place, IsTheSameForTheSameSeed) {
  const auto table = nodes_of({2, 1, 0, 1, 0, 3, 0, 0});
  for (const Policy& policy : all_policies()) {
    PolicySettings settings;
    settings.policy = policy;
    const auto one = place_at(settings, 0, table, 42), other = place_at(settings, 0, table, 42);
    ASSERT_EQ(one.ask.size(), other.ask.size());
    for (std::size_t i = 0; i < one.ask.size(); ++i) EXPECT_EQ(one.ask[i].rank, other.ask[i].rank);
  }
}

TEST(Place, OfOneNodeAloneIsHere) {
  for (const Policy& policy : all_policies()) {
    PolicySettings settings;
    settings.policy = policy;
    EXPECT_TRUE(place_at(settings, 0, nodes_of({7}), 1).ask.empty()) << policy.name;
    EXPECT_TRUE(choose_givers(settings, 0, node_of(0), nodes_of({0}), 1).empty()) << policy.name;
    EXPECT_TRUE(pair_up(settings, nodes_of({7})).empty()) << policy.name;
  }
}

TEST(Admits, WhoAcceptsIsAsTheTermsSay) {
  EXPECT_TRUE(admits(node_of(3), {}));
  EXPECT_TRUE(admits(node_of(0), {true, 0}));
  EXPECT_FALSE(admits(node_of(1), {true, 0}));
  EXPECT_TRUE(admits(node_of(0), {false, 0.9}));
  EXPECT_FALSE(admits(node_of(0), {false, 1}));
  NodeView closed = node_of(0);
  closed.accepts = false;
  EXPECT_FALSE(admits(closed, {}));
}

TEST(Refuges, AreThoseThatAcceptTheOneThatLosesLeastFirst) {
  auto table = nodes_of({1, 3, 0, 2, 0});
  table[2].accepts = false;
  table[4].usable = false;
  EXPECT_EQ(list_refuges(table), (std::vector<int>{0, 3, 1}));
  EXPECT_TRUE(list_refuges({}).empty());
}

TEST(Answer, TheBestIfItIsBetterThanHere) {
  const std::vector<Answer> answers{{1, node_of(2)}, {2, node_of(1)}, {3, node_of(3)}};
  EXPECT_EQ(choose_answer(node_of(2), answers), 2);
  EXPECT_FALSE(choose_answer(node_of(1), answers));
  EXPECT_FALSE(choose_answer(node_of(5), {}));
  auto closed = answers;
  closed[1].now.accepts = false;
  EXPECT_EQ(choose_answer(node_of(3), closed), 1);
}

TEST(Answer, OfANodeThatDrainsIsTakenThoughItIsWorse) {
  NodeView own = node_of(0);
  own.draining = true;
  EXPECT_EQ(choose_answer(own, std::vector<Answer>{{1, node_of(4)}}), 1);
}

TEST(Givers, OnlyAFreeNodeThatAcceptsAsks) {
  const auto table = nodes_of({0, 3, 2});
  for (const char* name : {"receiver", "symmetric", "balanced"}) {
    const auto settings = settings_of(name);
    EXPECT_FALSE(choose_givers(settings, 0, table[0], table, 1).empty()) << name;
    EXPECT_TRUE(choose_givers(settings, 1, table[1], table, 1).empty()) << name;
    NodeView closed = table[0];
    closed.accepts = false;
    EXPECT_TRUE(choose_givers(settings, 0, closed, table, 1).empty()) << name;
    auto without = settings;
    without.migrate = false;
    EXPECT_TRUE(choose_givers(without, 0, table[0], table, 1).empty()) << name;
  }
  EXPECT_TRUE(choose_givers(settings_of("threshold"), 0, table[0], table, 1).empty());
}

TEST(Givers, RandomAreDistinctOthersOfUsableNodes) {
  auto table = nodes_of({0, 3, 2, 0, 1});
  table[4].usable = false;
  std::set<int> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    auto settings = settings_of("receiver");
    settings.probe_limit = 2;
    const auto givers = choose_givers(settings, 0, table[0], table, seed);
    EXPECT_EQ(std::set<int>(givers.begin(), givers.end()).size(), 2U);
    seen.insert(givers.begin(), givers.end());
  }
  EXPECT_EQ(seen, (std::set<int>{1, 2, 3}));
}

TEST(Givers, WorstAreThoseThatGainMostByGiving) {
  auto table = nodes_of({0, 2, 5, 1, 3, 9});
  table[5].movable = 0;  // all of its jobs are pinned
  EXPECT_EQ(choose_givers(settings_of("balanced"), 0, table[0], table, 1), (std::vector<int>{2, 4, 1}));
  table[2].usable = false;
  // 3's only job is as well off there as it would be here.
  EXPECT_EQ(choose_givers(settings_of("balanced"), 0, table[0], table, 1), (std::vector<int>{4, 1}));
  table[3].speed = 0.5;
  EXPECT_EQ(choose_givers(settings_of("balanced"), 0, table[0], table, 1), (std::vector<int>{4, 1, 3}));
}

TEST(Pairs, TheMostCrowdedWithTheEmptiestWhileBothGain) {
  const auto settings = settings_of("pairing");
  EXPECT_EQ(pair_up(settings, nodes_of({1, 4, 0, 3, 0, 1})), (std::vector<Pair>{{1, 2}, {3, 4}}));
  EXPECT_TRUE(pair_up(settings, nodes_of({2, 1, 2, 1})).empty());  // it would only swap their places
  EXPECT_TRUE(pair_up(settings, {}).empty());
  EXPECT_TRUE(pair_up(settings_of("threshold"), nodes_of({4, 0})).empty());
  auto without = settings;
  without.migrate = false;
  EXPECT_TRUE(pair_up(without, nodes_of({4, 0})).empty());
}

TEST(Pairs, PassOverWhoIsPinnedClosedOrGone) {
  const auto settings = settings_of("pairing");
  auto table = nodes_of({4, 3, 0, 0, 0});
  table[0].movable = 0;
  table[2].accepts = false;
  table[3].usable = false;
  EXPECT_EQ(pair_up(settings, table), (std::vector<Pair>{{1, 4}}));
}

TEST(Pairs, WhoIsToBeLeftComesFirst) {
  auto table = nodes_of({9, 1, 2, 0});
  table[1].leaving = true;
  table[1].accepts = false;
  EXPECT_EQ(pair_up(settings_of("pairing"), table), (std::vector<Pair>{{1, 3}, {0, 2}}));
}

TEST(Pairs, EachNodeIsInOneAtMost) {
  Random random(5);
  for (int round = 0; round < 500; ++round) {
    std::vector<NodeView> table;
    for (int i = 0; i < 20; ++i) {
      table.push_back(node_of(static_cast<double>(random.below(6)), random.below(2) == 0 ? 1 : 0.5));
      table.back().leaving = random.below(8) == 0;
      table.back().accepts = !table.back().leaving;
    }
    std::set<int> seen;
    for (const Pair& pair : pair_up(settings_of("balanced"), table)) {
      EXPECT_TRUE(seen.insert(pair.sender).second);
      EXPECT_TRUE(seen.insert(pair.receiver).second);
    }
  }
}

}  // namespace
}  // namespace drover
