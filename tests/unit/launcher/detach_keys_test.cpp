#include "launcher/run/detach_keys.h"

#include <gtest/gtest.h>

#include "launcher/commands/commands.h"
#include "launcher/run/input_window.h"

namespace drover {

static std::string passed_of(DetachKeys& keys, std::string_view typed, bool detached) {
  std::string passed;
  EXPECT_EQ(keys.take(typed, passed), detached) << typed;
  return passed;
}

TEST(DetachKeys, AreTakenOutOfWhatIsTyped) {
  DetachKeys keys(DetachKeys::kDefault);
  EXPECT_EQ(passed_of(keys, "ab\x1c", false), "ab");
  EXPECT_TRUE(keys.is_waiting());
  EXPECT_EQ(passed_of(keys, "x", false), "\x1cx");
  EXPECT_EQ(passed_of(keys, "\x1c\x1c", false), "\x1c");
  EXPECT_EQ(keys.give_up(), "\x1c");
  EXPECT_FALSE(keys.is_waiting());
  EXPECT_EQ(passed_of(keys, "d\x1c", false), "d");
  EXPECT_EQ(passed_of(keys, "d", true), "");
}

TEST(DetachKeys, MayRepeatTheirBeginning) {
  DetachKeys keys("a,a,b");
  EXPECT_EQ(passed_of(keys, "aaab", true), "a");
}

TEST(DetachKeys, MayBeNone) {
  DetachKeys keys("");
  EXPECT_EQ(passed_of(keys,
                      "\x1c"
                      "d",
                      false),
            "\x1c"
            "d");
  EXPECT_FALSE(keys.is_waiting());
}

TEST(DetachKeys, RefuseWhatIsNoKey) {
  for (const char* names : {",", "ctrl-", "ctrl-1", "alt-x", "a,", "ab", "\x01"})
    EXPECT_THROW(DetachKeys{names}, UsageError) << names;
}

TEST(InputWindow, StartsAgainElsewhere) {
  InputWindow window;
  window.append("typed");
  EXPECT_TRUE(window.can_rewind(5));
  EXPECT_FALSE(window.can_rewind(6));
  window.restart(100);
  window.append("more");
  const auto out = window.take_outgoing();
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->message.offset, 100U);
  EXPECT_EQ(out->message.bytes, "more");
}

}  // namespace drover
