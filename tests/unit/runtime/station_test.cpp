// One node of a simulation, by hand.
#include "runtime/simulate/station.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>

#include "runtime/policy/random.h"

namespace drover::simulate {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// Ends the next job and says which, when.
std::pair<std::int64_t, double> end_next(Station& station) {
  const double at = station.next_end();
  station.advance(at);
  return {station.take_ended().job, at};
}

void expect_end(Station& station, std::int64_t job, double at) {
  const auto [who, when] = end_next(station);
  EXPECT_EQ(who, job);
  EXPECT_NEAR(when, at, 1e-9);
}

// 1 alone to 1 s, shared by two to 3 s: 2 of its 3 s are done when 2 ends; alone again to 4.
TEST(ProcessorSharing, TwoJobsGetHalfEach) {
  Station station(Discipline::ProcessorSharing, 1, 1);
  EXPECT_EQ(station.next_end(), kNever);
  station.add(1, 3, 0, 0);
  EXPECT_DOUBLE_EQ(station.next_end(), 3);
  station.add(2, 1, 0, 1);
  expect_end(station, 2, 3);
  expect_end(station, 1, 4);
  EXPECT_EQ(station.jobs(), 0U);
  EXPECT_EQ(station.next_end(), kNever);
  EXPECT_DOUBLE_EQ(station.busy_seconds(), 4);
}

TEST(ProcessorSharing, ProcessorsAndSpeedCount) {
  Station station(Discipline::ProcessorSharing, 2, 2);
  station.add(1, 2, 0, 0);
  station.add(2, 4, 0, 0);
  station.add(3, 4, 0, 0);  // three on two processors: 4/3 of work per second each
  expect_end(station, 1, 1.5);
  station.advance(2);  // the others have done 2 + 0.5 * 2
  EXPECT_NEAR(station.done(station.serving().front()), 3, 1e-9);
  expect_end(station, 2, 2.5);
  expect_end(station, 3, 2.5);
  EXPECT_NEAR(station.busy_seconds(), 5, 1e-9);
}

TEST(ProcessorSharing, WhoLeavesTakesWhatIsLeftAlong) {
  Station station(Discipline::ProcessorSharing, 1, 1);
  station.add(1, 10, 0, 0);
  station.add(2, 6, 1, 0);  // 1 was done elsewhere
  station.advance(4);
  const Resident taken = station.take(2);
  EXPECT_NEAR(taken.left, 4, 1e-9);
  EXPECT_NEAR(taken.done, 3, 1e-9);
  expect_end(station, 1, 12);
  EXPECT_THROW(station.take(2), std::logic_error);
}

TEST(Fcfs, OneAfterTheOther) {
  Station station(Discipline::Fcfs, 0.5, 1);
  station.add(1, 2, 0, 0);
  station.add(2, 1, 0, 0);
  station.add(3, 1, 0, 1);
  EXPECT_EQ(station.waiting().size(), 2U);
  EXPECT_DOUBLE_EQ(station.done(station.waiting().front()), 0);
  expect_end(station, 1, 4);
  expect_end(station, 2, 6);
  expect_end(station, 3, 8);
}

TEST(Fcfs, ManyProcessorsServeTheFirst) {
  Station station(Discipline::Fcfs, 1, 2);
  station.add(1, 5, 0, 0);
  station.add(2, 1, 0, 0);
  station.add(3, 1, 0, 0);
  expect_end(station, 2, 1);
  expect_end(station, 3, 2);
  expect_end(station, 1, 5);
  EXPECT_NEAR(station.busy_seconds(), 7, 1e-9);
}

TEST(Fcfs, AWaitingJobLeavesWhole) {
  Station station(Discipline::Fcfs, 1, 1);
  station.add(1, 5, 0, 0);
  station.add(2, 3, 0, 0);
  station.add(3, 1, 0, 0);
  station.advance(1);
  const Resident taken = station.take(2);
  EXPECT_DOUBLE_EQ(taken.left, 3);
  EXPECT_DOUBLE_EQ(taken.done, 0);
  EXPECT_NEAR(station.take(1).left, 4, 1e-9);  // the one in service: the next begins
  expect_end(station, 3, 2);
}

// Whatever comes, goes and ends: the work that went in came out, as service or with those who left.
TEST(Station, NoWorkIsLostOrMade) {
  for (const Discipline discipline : {Discipline::ProcessorSharing, Discipline::Fcfs}) {
    Station station(discipline, 1.5, 2);
    Random random(9);
    std::map<std::int64_t, double> there;
    double now = 0, in = 0, out = 0, ended = 0, served_at_leaving = 0;
    for (std::int64_t job = 0; job < 20'000; ++job) {
      now += random.uniform();
      while (station.next_end() <= now) {
        const auto [who, when] = end_next(station);
        ended += there.at(who);
        there.erase(who);
      }
      station.advance(now);
      if (random.below(4) == 0 && !there.empty()) {
        const Resident taken = station.take(there.begin()->first);
        EXPECT_NEAR(taken.left + taken.done, there.begin()->second, 1e-6);
        out += taken.left;
        served_at_leaving += taken.done;
        there.erase(there.begin());
      }
      const double work = -std::log1p(-random.uniform());
      station.add(job, work, 0, now);
      there[job] = work;
      in += work;
      ASSERT_EQ(station.jobs(), there.size());
    }
    while (!there.empty()) {
      const auto [who, when] = end_next(station);
      ended += there.at(who);
      there.erase(who);
    }
    EXPECT_NEAR(station.busy_seconds() * 1.5, ended + served_at_leaving, 1e-4);
    EXPECT_NEAR(in, ended + served_at_leaving + out, 1e-4);
  }
}

}  // namespace
}  // namespace drover::simulate
