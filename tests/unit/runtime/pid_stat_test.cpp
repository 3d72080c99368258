#include "runtime/load/pid_stat.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "runtime/load/proc_dir.h"

namespace drover {
namespace {

TEST(PidStat, Parses) {
  const auto stat = parse_pid_stat(
      "4574 (sh) R 4570 4571 3338 34816 4570 4194304 84 901 0 0 51 7 120 30 20 0 3 0 163868 2654208 395 "
      "18446744073709551615 93842695507968 1 1 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->pid, 4574);
  EXPECT_EQ(stat->name, "sh");
  EXPECT_EQ(stat->state, 'R');
  EXPECT_EQ(stat->parent, 4570);
  EXPECT_EQ(stat->user_ticks, 51U);
  EXPECT_EQ(stat->system_ticks, 7U);
  EXPECT_EQ(stat->total_ticks(), 208U);
  EXPECT_EQ(stat->threads, 3U);
  EXPECT_EQ(stat->start_ticks, 163868U);
  EXPECT_EQ(stat->resident_pages, 395U);
}

TEST(PidStat, SurvivesHostileNames) {
  const auto stat = parse_pid_stat("7 (a) R 1 (\n b) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 99 0 11 0\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->name, "a) R 1 (\n b");
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->start_ticks, 99U);
}

TEST(PidStat, RefusesWhatIsNone) {
  for (const char* text : {"", "7", "7 (a", "7 a) S", "x (a) S 1", "7 (a) S 1 2 3", ")(", "7 (a) "})
    EXPECT_FALSE(parse_pid_stat(text)) << text;
}

TEST(PidStat, ReadsThisProcess) {
  const auto stat = parse_pid_stat(ProcDir("/proc").read("{}/stat", ::getpid()));
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->parent, ::getppid());
  EXPECT_GE(stat->threads, 1U);
}

TEST(ThreadSchedule, Parses) {
  const auto schedule = parse_thread_schedule("519212838 516860442 138\n");
  ASSERT_TRUE(schedule);
  EXPECT_EQ(schedule->running_ns, 519212838U);
  EXPECT_EQ(schedule->waiting_ns, 516860442U);
  EXPECT_FALSE(parse_thread_schedule(""));
}

}  // namespace
}  // namespace drover
