// How tables fit a terminal: cut between characters, with colours that take no place.
#include "launcher/table.h"

#include <gtest/gtest.h>

#include <string>

#include "launcher/terminal_text.h"

namespace drover {
namespace {

Table::Colour green_if_running(const std::string& cell) {
  return cell == "running" ? Table::Colour::Green : Table::Colour::None;
}

Table table_of(const std::string& last) {
  Table table({{"JOB", Table::Align::Right}, {"STATE", Table::Align::Left, green_if_running}, {"COMMAND"}});
  table.add({"7", "running", last});
  table.add({"12", "moving", "x"});
  return table;
}

std::string without_codes(std::string text) {
  for (std::size_t at = 0; (at = text.find('\x1b')) != std::string::npos;) text.erase(at, text.find('m', at) + 1 - at);
  return text;
}

TEST(TerminalText, CutsBetweenCharacters) {
  EXPECT_EQ(cut_to_width("abcdef", 6), "abcdef");
  EXPECT_EQ(cut_to_width("abcdef", 5), "abcd…");
  EXPECT_EQ(cut_to_width("äöüßñ", 3), "äö…");
  EXPECT_EQ(cut_to_width("日本語", 4), "日…");  // two columns each: a second one does not fit
  EXPECT_EQ(cut_to_width("日本語", 5), "日本…");
  EXPECT_EQ(cut_to_width("abc", 1), "…");
  EXPECT_EQ(cut_to_width("abc", 0), "");
  EXPECT_EQ(display_width("e\u0301"), 1U);  // an accent of its own
}

TEST(TerminalText, LetsNothingMoveTheCursor) {
  EXPECT_EQ(printable("a\x1b[2Jb\n\x7f\xc2\x9b"), "a?[2Jb???");
  EXPECT_EQ(printable("ok \xff\xc3"), "ok ??");
  EXPECT_EQ(printable("schön 日本"), "schön 日本");
}

TEST(Table, IsPlainAndWholeWhenPiped) {
  EXPECT_EQ(table_of("sleep 60").text({}), "JOB  STATE    COMMAND\n  7  running  sleep 60\n 12  moving   x\n");
}

TEST(Table, IsNeverWiderThanTheTerminal) {
  const Table table = table_of("schön 日本 and more");
  for (std::size_t width = 1; width < 40; ++width)
    for (const bool colour : {false, true}) {
      const std::string text = without_codes(table.text({width, colour, colour}));
      EXPECT_EQ(printable(text.substr(0, text.find('\n'))), text.substr(0, text.find('\n')));
      for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
        EXPECT_LE(display_width(text.substr(at, end - at)), width);
    }
  EXPECT_EQ(table.text({18, false, false}), "JOB  STATE    COM…\n  7  running  sch…\n 12  moving   x\n");
}

TEST(Table, ColoursChangeNothingElse) {
  const Table table = table_of("schön");
  EXPECT_EQ(table.text({0, true, true}),
            "\x1b[1mJOB  STATE    COMMAND\x1b[0m\n  7  \x1b[32mrunning\x1b[0m  schön\n 12  moving   x\n");
  for (std::size_t width = 1; width < 30; ++width)
    EXPECT_EQ(without_codes(table.text({width, true, true})), table.text({width, false, false})) << width;
  EXPECT_NE(table.text({9, false, true}).find("  7  \x1b[32mrun\x1b[0m…\n"), std::string::npos);
}

}  // namespace
}  // namespace drover
