#include "runtime/control/screen_modes.h"

#include <gtest/gtest.h>

#include "runtime/jobs/scrollback.h"

namespace drover {

TEST(ScreenModes, TellsWhatIsNotAsUsual) {
  ScreenModes modes;
  modes.see("text\x1b[?1049h\x1b[?25l\x1b[1;31mred\x1b[?1;2004");
  EXPECT_FALSE(modes.between_sequences());
  modes.see("h\x1b=");
  EXPECT_TRUE(modes.between_sequences());
  EXPECT_EQ(modes.enter(), "\x1b=\x1b[?1h\x1b[?25l\x1b[?1049h\x1b[?2004h");
  EXPECT_EQ(modes.leave(), "\x1b>\x1b[?1l\x1b[?25h\x1b[?1049l\x1b[?2004l");
  modes.see(modes.leave());
  EXPECT_EQ(modes.enter(), "");
}

TEST(ScreenModes, TakesAnything) {
  ScreenModes modes;
  for (int i = 0; i < 100000; ++i) modes.see("\x1b[?" + std::to_string(i) + "h");
  EXPECT_LT(modes.enter().size(), 1000U);
  modes.see("\x1b[?99999999999999999999h\x1b[?;h\x1b[?h\x1b]0;" + std::string(1 << 20, 'x') + "\x1b[?7l\x1b\\");
  modes.see(
      "\x1b"
      "c");
  EXPECT_EQ(modes.enter(), "");
}

TEST(WithoutQuestions, OverwritesThemAndNothingElse) {
  const std::string nuls(3, '\0');
  EXPECT_EQ(without_questions("a\x1b[cb"), "a" + nuls + "b");
  EXPECT_EQ(without_questions("a\x1b[6nb"), "a" + nuls + std::string(1, '\0') + "b");
  EXPECT_EQ(without_questions("\x1b]11;?\x1b\\x"), std::string(8, '\0') + "x");
  EXPECT_EQ(without_questions("\x1bP$qm\x1b\\x"), std::string(7, '\0') + "x");
  const std::string drawn = "\x1b[2J\x1b[3;4Hred \x1b[31m\x1b]0;title\a\x1b[?1049h\x1b[22;0;0tc n?";
  EXPECT_EQ(without_questions(drawn).size(), drawn.size());
  EXPECT_EQ(without_questions("\x1b[2J\x1b]0;title\ac n?"), "\x1b[2J\x1b]0;title\ac n?");
}

TEST(Scrollback, BeginsBetweenSequencesAndTellsTheirModes) {
  Scrollback scrollback;
  scrollback.append("\x1b[?1049h");
  std::string part;
  for (int i = 0; i < 1000; ++i) part += "\x1b[31m\xe2\x82\xac";  // 8 bytes
  for (int i = 0; i < 40; ++i) scrollback.append(part);
  EXPECT_EQ(scrollback.modes(), "\x1b[?1049h");
  EXPECT_GE(scrollback.size(), 64U * 1024 - 16);
  EXPECT_LE(scrollback.size(), 128U * 1024);
  const char first = scrollback.bytes()[0];
  EXPECT_TRUE(first == '\x1b' || first == '\xe2');
}

}  // namespace drover
