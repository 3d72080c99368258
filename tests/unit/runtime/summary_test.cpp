// The summary of a group as it travels.
#include "runtime/exchange/summary.h"

#include <gtest/gtest.h>

#include "runtime/control/clock.h"
#include "runtime/exchange/load_exchange.h"
#include "runtime/simulate/exchange_cost.h"

namespace drover {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

LoadTable table_of(int size, std::uint64_t received_ns) {
  LoadTable table(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank) {
    LoadEntry& entry = table[static_cast<std::size_t>(rank)];
    entry.received_ns = received_ns;
    entry.sample.demand = static_cast<float>(rank);
    entry.sample.jobs = entry.sample.movable_jobs = static_cast<std::uint16_t>(rank);
    entry.sample.taken_ns = static_cast<std::uint64_t>(1000 + rank);
  }
  return table;
}

TEST(Summary, HoldsVectorsWithRankAndAge) {
  const GroupLayout layout{9, 3};
  const LoadTable table = table_of(9, 5 * kSecond);
  const GroupSummary summary = summarize(layout, 4, table, {true, false, true}, 7 * kSecond, 99);
  EXPECT_EQ(summary.group, 1);
  EXPECT_EQ(summary.leader, 4);
  EXPECT_EQ(summary.taken_ns, 99U);
  EXPECT_EQ(summary.sums.members, 2);
  EXPECT_EQ(summary.sums.jobs, 3 + 5);
  EXPECT_EQ(summary.notable[0].rank, 3);  // the better place
  EXPECT_EQ(summary.notable[0].age_ms, 2000U);
  EXPECT_EQ(summary.notable[0].sample.taken_ns, 1003U);
  EXPECT_EQ(summary.notable[1].rank, 5);
  EXPECT_EQ(summary.notable[2].rank, -1);
  EXPECT_TRUE(well_formed(summary, layout, 1));
}

TEST(Summary, IsNotBelievedOfOtherGroups) {
  const GroupLayout layout{9, 3};
  const GroupSummary good = summarize(layout, 3, table_of(9, 1), {true, true, true}, 2, 3);
  EXPECT_FALSE(well_formed(good, layout, 2));
  EXPECT_FALSE(well_formed(GroupSummary{}, layout, 0));
  const auto spoilt = [&](auto spoil) {
    GroupSummary summary = good;
    spoil(summary);
    return well_formed(summary, layout, 1);
  };
  EXPECT_TRUE(spoilt([](GroupSummary&) {}));
  EXPECT_FALSE(spoilt([](GroupSummary& s) { s.notable[1].rank = 6; }));
  EXPECT_FALSE(spoilt([](GroupSummary& s) { s.notable[1].rank = -2; }));
  EXPECT_FALSE(spoilt([](GroupSummary& s) { s.notable[1].rank = s.notable[0].rank; }));
  EXPECT_FALSE(spoilt([](GroupSummary& s) { s.leader = 6; }));
  EXPECT_FALSE(spoilt([](GroupSummary& s) { s.version = 0; }));
}

TEST(LoadTable, WhatCameAfterTheClockWasReadIsNotStale) {
  LoadExchange exchange(0, 2, {});
  const std::uint64_t before = monotonic_ns();
  exchange.set_own({});
  EXPECT_FALSE(exchange.stale(0, before));
  EXPECT_FALSE(exchange.stale(0, before + 2 * kSecond));
  EXPECT_TRUE(exchange.stale(0, before + 10 * kSecond));
  EXPECT_TRUE(exchange.stale(1, before));  // never heard
}

TEST(LoadTable, OfAnotherGroupOnlyWhoIsListedCounts) {
  LoadExchange exchange(0, 4, {});
  LoadEntry entry;
  entry.received_ns = 100 * kSecond;
  entry.second_hand = true;
  const int ranks[] = {2, 3};
  exchange.heard_of(2, 4, std::vector{entry, entry}, ranks);
  EXPECT_FALSE(exchange.stale(2, 104 * kSecond));  // two periods more than one of the own group
  EXPECT_TRUE(exchange.stale(2, 106 * kSecond));
  exchange.heard_of(2, 4, std::vector{entry}, std::span(ranks).subspan(1));
  EXPECT_TRUE(exchange.stale(2, 104 * kSecond));
  EXPECT_FALSE(exchange.stale(3, 104 * kSecond));
}

TEST(AliveSet, SurvivesItsWay) {
  AliveSet alive;
  for (const std::size_t i : {0, 5, 63, 64, 200, 511}) alive[i] = true;
  EXPECT_EQ(from_words(to_words(alive)), alive);
}

TEST(ExchangeSizes, AreThoseOfTheWire) {
  const simulate::ExchangeSizes sizes;
  EXPECT_EQ(sizes.vector, sizeof(LoadSample));
  EXPECT_EQ(sizes.summary, sizeof(GroupSummary));
  EXPECT_EQ(sizes.beat, sizeof(LeaderBeat));
}

}  // namespace
}  // namespace drover
