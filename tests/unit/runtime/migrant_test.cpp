// Which job goes, and when none does.
#include "runtime/policy/migrant.h"

#include <gtest/gtest.h>

#include "tests/unit/runtime/nodes.h"

namespace drover {
namespace {

Candidate job_of(std::int64_t id, double age, std::uint64_t kib = 0) {
  Candidate candidate;
  candidate.job = id;
  candidate.age_seconds = candidate.here_seconds = age;
  candidate.resident_kib = kib;
  return candidate;
}

constexpr std::uint64_t kGigabyteKib = 976'563;  // a second at 1e9 bytes per second

std::optional<Choice> choose(const std::vector<Candidate>& jobs, const NodeView& source, const NodeView& destination,
                             const MigrationRule& rule = {}) {
  return choose_migrant(jobs, source, destination, std::vector{source, destination}, rule);
}

std::int64_t chosen(const std::vector<Candidate>& jobs, const NodeView& source, const NodeView& destination) {
  const auto choice = choose(jobs, source, destination);
  return choice ? choice->job : -1;
}

TEST(Cost, IsFixedAndOfTheBytesAndOfTheFiles) {
  MigrationRule rule;
  rule.fixed_cost_seconds = 0.05;
  rule.seconds_per_file = 50e-6, rule.seconds_per_connection = 100e-6;
  EXPECT_DOUBLE_EQ(migration_cost(job_of(1, 0), rule), 0.05);
  EXPECT_NEAR(migration_cost(job_of(1, 0, kGigabyteKib), rule), 1.05, 1e-5);
  Candidate job = job_of(1, 0, kGigabyteKib);
  job.unsent_kib = kGigabyteKib;
  EXPECT_DOUBLE_EQ(migration_cost(job, rule), 0.05);
  job.unsent_kib *= 2;  // counted at another moment than what is resident
  EXPECT_DOUBLE_EQ(migration_cost(job, rule), 0.05);
  job.files = 1000;
  EXPECT_NEAR(migration_cost(job, rule), 0.1, 1e-9);
  job.connections = 1000;
  EXPECT_NEAR(migration_cost(job, rule), 0.2, 1e-9);
  job.swapped_kib = kGigabyteKib;
  EXPECT_NEAR(migration_cost(job, rule), 1.2, 1e-5);
}

// From 3 jobs on one PU to an empty one: a gain of ((2*3 - 1) - 1) / 2 = 2, so a cost of 1.05 needs 3 * 1.05 / 2.
TEST(Migrant, MovesWhenItsAgePaysForTheMove) {
  EXPECT_FALSE(choose({job_of(1, 1.56, kGigabyteKib)}, node_of(3), node_of(0)));
  const auto choice = choose({job_of(1, 1.59, kGigabyteKib)}, node_of(3), node_of(0));
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->job, 1);
  EXPECT_NEAR(choice->cost_seconds, 1.05, 1e-5);
  EXPECT_NEAR(choice->needed_age_seconds, 1.575, 1e-4);
  EXPECT_EQ(method_name(choice->method), "stop-and-copy");
}

TEST(Migrant, NobodyMovesWithoutGain) {
  const std::vector jobs{job_of(1, 1e6)};
  EXPECT_FALSE(choose(jobs, node_of(1), node_of(0)));
  EXPECT_FALSE(choose(jobs, node_of(2), node_of(1)));
  EXPECT_TRUE(choose(jobs, node_of(3), node_of(1)));
  EXPECT_TRUE(choose(jobs, node_of(1, 0.5), node_of(0)));
  // Alone on a slow node, half of a fast one is as fast, and who is there would lose.
  EXPECT_FALSE(choose(jobs, node_of(1, 0.5), node_of(1)));
  EXPECT_FALSE(choose({}, node_of(3), node_of(0)));
}

// What jobs that share a node are measured to want goes up and down, and counts for more on a slow one.
TEST(Migrant, GainsBelowTheNoiseOfMeasurementAreNone) {
  const std::vector jobs{job_of(1, 1e6)};
  NodeView source = node_of(3), destination = node_of(1, 0.5);
  source.load = 3.7;  // a gain of (6.4 - 6) / 2 = 0.2 threads of the source
  EXPECT_FALSE(choose(jobs, source, destination));
  source.load = 4.0;  // 0.5, which is 0.25 threads of the destination
  EXPECT_FALSE(choose(jobs, source, destination));
  source.load = 4.2;
  EXPECT_TRUE(choose(jobs, source, destination));
  // An empty node's load is steady: from 3 to a quarter of the speed the gain is (5 - 4) / 2.
  EXPECT_TRUE(choose(jobs, node_of(3), node_of(0, 0.25)));
}

TEST(Migrant, IsTheOldestForItsCost) {
  EXPECT_EQ(chosen({job_of(1, 10), job_of(2, 30), job_of(3, 20)}, node_of(3), node_of(0)), 2);
  EXPECT_EQ(chosen({job_of(1, 10), job_of(2, 30, kGigabyteKib)}, node_of(3), node_of(0)), 1);
  EXPECT_EQ(chosen({job_of(1, 1), job_of(2, 300, kGigabyteKib)}, node_of(3), node_of(0)), 2);  // never the youngest
}

TEST(Migrant, ThoseThatArePinnedOrDoNotFitStay) {
  Candidate pinned = job_of(1, 100);
  pinned.movable = false;
  EXPECT_FALSE(choose({pinned}, node_of(3), node_of(0)));
  NodeView small = node_of(0);
  small.memory_available_kib = 1000;
  EXPECT_EQ(chosen({job_of(1, 100, 2000), job_of(2, 10, 1000)}, node_of(3), small), 2);
  small.memory_available_kib = 0;  // not known
  EXPECT_EQ(chosen({job_of(1, 100, 2000), job_of(2, 10, 1000)}, node_of(3), small), 1);
  Candidate swapped = job_of(1, 100, 600);
  swapped.swapped_kib = 600;
  small.memory_available_kib = 1000;
  EXPECT_FALSE(choose({swapped}, node_of(3), small));
}

TEST(Migrant, WhoseStreamsWouldFillTheLinkStaysAtItsOrigin) {
  Candidate loud = job_of(1, 100);
  loud.more_bytes_per_second = 0.2e9;
  MigrationRule rule;
  EXPECT_FALSE(choose({loud}, node_of(3), node_of(0), rule));
  rule.bytes_per_second = 3e9;
  EXPECT_TRUE(choose({loud}, node_of(3), node_of(0), rule));
  loud.more_bytes_per_second = -1e12;  // it goes home
  EXPECT_TRUE(choose({loud}, node_of(3), node_of(0)));
}

TEST(Migrant, WhoHasJustComeStaysForAWhile) {
  Candidate job = job_of(1, 100);
  job.here_seconds = 1.9;
  EXPECT_TRUE(choose({job}, node_of(3), node_of(0)));  // it began here
  job.moved = true;
  EXPECT_FALSE(choose({job}, node_of(3), node_of(0)));
  job.here_seconds = 2.1;
  EXPECT_TRUE(choose({job}, node_of(3), node_of(0)));
  job.resident_kib = kGigabyteKib;  // three times what the move costs
  EXPECT_FALSE(choose({job}, node_of(3), node_of(0)));
  job.here_seconds = 3.2;
  EXPECT_TRUE(choose({job}, node_of(3), node_of(0)));
}

TEST(Migrant, WhatHasNotStartedMovesForNothing) {
  Candidate waiting = job_of(1, 0, kGigabyteKib);
  EXPECT_FALSE(choose({waiting}, node_of(3), node_of(0)));
  waiting.started = false;
  const auto choice = choose({waiting}, node_of(3), node_of(0));
  ASSERT_TRUE(choice);
  EXPECT_DOUBLE_EQ(choice->cost_seconds, 0);
}

TEST(Migrant, ANodeThatIsToBeLeftGivesAllButThePinned) {
  NodeView source = node_of(1);
  source.leaving = true;
  source.arrivals_per_second = 1000;  // no rule of room either
  Candidate job = job_of(1, 0, 1000);
  job.moved = true;
  EXPECT_TRUE(choose({job}, source, node_of(5)));
  NodeView small = node_of(0);
  small.memory_available_kib = 10;
  EXPECT_FALSE(choose({job}, source, small));
  job.movable = false;
  EXPECT_FALSE(choose({job}, source, node_of(0)));
}

// A cost of 0.1 s must be a fifth of the time for which a place stays free: 0.5 s. With one FREE place, 2 of them
// count.
TEST(Room, AMoveTakesOnlyAPartOfTheTimeForWhichPlacesStayFree) {
  MigrationRule rule;
  rule.fixed_cost_seconds = 0.1;
  rule.most_of_idle_time = 0.2;
  NodeView source = node_of(3);
  source.arrivals_per_second = 3.9;
  EXPECT_TRUE(choose({job_of(1, 100)}, source, node_of(0), rule));
  source.arrivals_per_second = 4.1;
  EXPECT_FALSE(choose({job_of(1, 100)}, source, node_of(0), rule));
  rule.most_of_idle_time = 0.3;
  EXPECT_TRUE(choose({job_of(1, 100)}, source, node_of(0), rule));
}

TEST(Room, FreePlacesOfWhoIsGoneOrClosedDoNotCount) {
  MigrationRule rule;
  rule.fixed_cost_seconds = 0.1;
  rule.most_of_idle_time = 0.2;
  NodeView source = node_of(3), gone = node_of(0), closed = node_of(0);
  source.arrivals_per_second = 5;
  gone.usable = false;
  gone.arrivals_per_second = 1000;  // nobody knows
  closed.accepts = false;
  const std::vector jobs{job_of(1, 100)};
  EXPECT_FALSE(choose_migrant(jobs, source, node_of(0), std::vector{source, node_of(0), gone, closed}, rule));
  EXPECT_TRUE(choose_migrant(jobs, source, node_of(0), std::vector{source, node_of(0), node_of(0)}, rule));
}

// With a place of half the speed beside it a fast one stays free for half as long again: 1.5 and 1 of them.
TEST(Room, SlowerFreePlacesCountForWhatTheyAreWorth) {
  MigrationRule rule;
  rule.fixed_cost_seconds = 0.1;
  rule.most_of_idle_time = 0.2;
  NodeView source = node_of(3);
  const std::vector jobs{job_of(1, 100)};
  const auto moves_to = [&](double speed) {
    const std::vector table{source, node_of(0), node_of(0, 0.5)};
    return choose_migrant(jobs, source, node_of(0, speed), table, rule).has_value();
  };
  source.arrivals_per_second = 4.9;
  EXPECT_TRUE(moves_to(1));
  source.arrivals_per_second = 5.1;
  EXPECT_FALSE(moves_to(1));
  EXPECT_TRUE(moves_to(0.5));  // both places would do as well
}

// A job that has its PU to itself leaves faster places to who arrives in the next 5 s, and so long as its move takes.
TEST(Room, OfFasterPlacesSomeAreLeftToArrivals) {
  MigrationRule rule;
  rule.fixed_cost_seconds = 0.1;
  rule.most_of_idle_time = 0.2;
  NodeView source = node_of(1, 0.5);
  source.arrivals_per_second = 0.17;  // 0.935 in 5.5 s
  EXPECT_TRUE(choose({job_of(1, 100)}, source, node_of(0), rule));
  source.arrivals_per_second = 0.19;  // 1.045
  EXPECT_FALSE(choose({job_of(1, 100)}, source, node_of(0), rule));
  // Slower places than the destination are none of those that arrivals would miss.
  const std::vector jobs{job_of(1, 100)};
  EXPECT_FALSE(choose_migrant(jobs, source, node_of(0), std::vector{source, node_of(0), node_of(0, 0.5)}, rule));
  EXPECT_TRUE(choose_migrant(jobs, source, node_of(0), std::vector{source, node_of(0), node_of(0)}, rule));
}

}  // namespace
}  // namespace drover
