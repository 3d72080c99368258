// A job's command as a shell reads it, and its state in a word.
#include "launcher/job_text.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

TEST(JobText, CommandsAreQuotedForAShell) {
  EXPECT_EQ(shell_command({"xz", "-9e", "a/b.tar", "--x=1,2"}), "xz -9e a/b.tar --x=1,2");
  EXPECT_EQ(shell_command({"sh", "-c", "echo $HOME; it's"}), R"(sh -c 'echo $HOME; it'\''s')");
  EXPECT_EQ(shell_command({"a", "", "~", "*", "schön"}), "a '' '~' '*' 'schön'");
  EXPECT_EQ(shell_command({"a\nb\t'\\\x1b"}), R"($'a\nb\t\'\\\033')");
}

TEST(JobText, StatesOfJobsThatHaveNotEndedNeedNoExitCode) {
  EXPECT_EQ(state_text({{"state", "running"}, {"exit", nullptr}}), "running");
  EXPECT_EQ(state_text({{"state", "ended"}, {"exit", 3}, {"signal", 0}}), "exit 3");
  EXPECT_EQ(state_text({{"state", "ended"}, {"exit", 137}, {"signal", 9}}), "signal 9");
}

TEST(JobText, ColoursTellGoodFromBad) {
  EXPECT_EQ(state_colour("running"), Table::Colour::Green);
  for (const char* yellow : {"moving", "in-doubt"}) EXPECT_EQ(state_colour(yellow), Table::Colour::Yellow);
  for (const char* red : {"failed", "lost", "signal 9"}) EXPECT_EQ(state_colour(red), Table::Colour::Red);
  for (const char* plain : {"queued", "exit 0"}) EXPECT_EQ(state_colour(plain), Table::Colour::None);
}

}  // namespace
}  // namespace drover
