// Points in time as people type them.
#include "launcher/time_text.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "launcher/commands/commands.h"

namespace drover {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kNowNs = 1'800'000'000 * kSecondNs;

std::uint64_t local_ns(int year, int month, int day, int hour, int minute, int second) {
  std::tm local{};
  local.tm_year = year - 1900;
  local.tm_mon = month - 1;
  local.tm_mday = day;
  local.tm_hour = hour;
  local.tm_min = minute;
  local.tm_sec = second;
  local.tm_isdst = -1;
  return static_cast<std::uint64_t>(std::mktime(&local)) * kSecondNs;
}

TEST(TimeText, AgesAreBeforeNow) {
  EXPECT_EQ(parse_time("90s", kNowNs), kNowNs - 90 * kSecondNs);
  EXPECT_EQ(parse_time("30m", kNowNs), kNowNs - 1800 * kSecondNs);
  EXPECT_EQ(parse_time("1.5h", kNowNs), kNowNs - 5400 * kSecondNs);
  EXPECT_EQ(parse_time("2d", kNowNs), kNowNs - 172800 * kSecondNs);
  EXPECT_EQ(parse_time("1w", kNowNs), kNowNs - 604800 * kSecondNs);
  EXPECT_EQ(parse_time("9000w", kNowNs), 0U);
}

TEST(TimeText, DatesAreLocal) {
  EXPECT_EQ(parse_time("2026-11-28", kNowNs), local_ns(2026, 11, 28, 0, 0, 0));
  EXPECT_EQ(parse_time("2026-11-28 12:05", kNowNs), local_ns(2026, 11, 28, 12, 5, 0));
  EXPECT_EQ(parse_time("2026-11-28T12:05:09", kNowNs), local_ns(2026, 11, 28, 12, 5, 9));
}

TEST(TimeText, RefusesEverythingElse) {
  for (const std::string text : {"", "2", "h", "-2h", "2x", "nans", "infh", "2h30m", "yesterday", "2026-13-01",
                                 "2026-02-31", "2026-11-28 25:00", "2026-11-28 12"})
    EXPECT_THROW(parse_time(text, kNowNs), UsageError) << text;
}

}  // namespace
}  // namespace drover
