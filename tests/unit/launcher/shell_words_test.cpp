// Words quoted as in a shell.
#include "launcher/shell_words.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace drover {
namespace {

using Words = std::vector<std::string>;

TEST(ShellWords, AreThoseOfAShell) {
  EXPECT_EQ(split_shell_words(" \t "), Words{});
  EXPECT_EQ(split_shell_words("a  b\tc "), (Words{"a", "b", "c"}));
  EXPECT_EQ(split_shell_words(R"('a b'"c d"e '' "")"), (Words{"a bc de", "", ""}));
  EXPECT_EQ(split_shell_words(R"(a\ b 'a\b' "a\b" "\"\\\$")"), (Words{"a b", R"(a\b)", R"(a\b)", R"("\$)"}));
  EXPECT_EQ(split_shell_words("a#b # c 'd"), (Words{"a#b"}));
}

TEST(ShellWords, MustBeWhole) {
  for (const char* line : {"'a", "\"a", "a\\", "\"a\\"})
    EXPECT_THROW(split_shell_words(line), std::invalid_argument) << line;
}

}  // namespace
}  // namespace drover
