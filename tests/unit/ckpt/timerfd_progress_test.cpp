#include "ckpt/restore/timerfd_progress.h"

#include <gtest/gtest.h>

namespace drover {

static void expect(TimerfdProgress now, std::int64_t value_ns, std::uint64_t ticks) {
  EXPECT_EQ(now.value_ns, value_ns);
  EXPECT_EQ(now.ticks, ticks);
}

TEST(TimerfdProgress, BeforeItsTimeNothingExpires) { expect(timerfd_after({50, 2}, 100, 49), 1, 2); }

TEST(TimerfdProgress, ADisarmedOneStaysSo) { expect(timerfd_after({0, 3}, 100, 1000), 0, 3); }

TEST(TimerfdProgress, OnceIsOnce) {
  expect(timerfd_after({50, 0}, 0, 50), 0, 1);
  expect(timerfd_after({50, 4}, 0, 5000), 0, 5);
}

TEST(TimerfdProgress, KeepsItsPhaseAndCountsEveryPeriod) {
  expect(timerfd_after({50, 1}, 100, 50), 100, 2);
  expect(timerfd_after({50, 1}, 100, 149), 1, 2);
  expect(timerfd_after({50, 1}, 100, 150), 100, 3);
  expect(timerfd_after({50, 0}, 100, 1075), 75, 11);
}

}  // namespace drover
