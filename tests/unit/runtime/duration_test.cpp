// Lengths of time as people type and read them.
#include "runtime/control/duration.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

TEST(Duration, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(parse_duration_seconds("90"), 90U);
  EXPECT_EQ(parse_duration_seconds("1w2d3h4m5s"), 788645U);
  EXPECT_EQ(parse_duration_seconds("90:00"), 5400U);
  EXPECT_EQ(parse_duration_seconds("100:00:00"), 360000U);
  EXPECT_EQ(parse_duration_seconds("2-3:4:5"), 183845U);
  for (const char* text : {"", "5x", "s", "1s1m", "1m1m", "1:", ":1", "1:2:3:4", "1-", "-1", "1-24", "1-2:60", "1:60",
                           "+5", "1 h", "3654d", "18446744073709551616", "18446744073709551615w"})
    EXPECT_EQ(parse_duration_seconds(text), std::nullopt) << text;
}

TEST(Duration, IsWrittenInWholeUnits) {
  EXPECT_EQ(duration_text(0), "0 s");
  EXPECT_EQ(duration_text(90), "1 min 30 s");
  EXPECT_EQ(duration_text(900), "15 min");
  EXPECT_EQ(duration_text(90000), "1 d 1 h");
}

}  // namespace
}  // namespace drover
