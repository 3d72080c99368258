// Patterns in the names of a job's files.
#include "runtime/control/path_pattern.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace drover {
namespace {

std::string expand(std::string_view pattern, std::string_view name = "make") {
  return expand_path_pattern(pattern, {.job = 42, .name = name});
}

TEST(PathPattern, IsExpanded) {
  EXPECT_EQ(expand(""), "");
  EXPECT_EQ(expand("/a/%n-%j.%%j"), "/a/make-42.%j");
  EXPECT_EQ(expand_path_pattern("%j_%a", {.job = 42, .name = "", .array_index = 7}), "42_7");
}

TEST(PathPattern, NameIsOneFile) {
  EXPECT_EQ(expand("/a/%n", "../../etc/x"), "/a/.._.._etc_x");
  EXPECT_EQ(expand("/a/%n/b", ".."), "/a/__/b");
  EXPECT_EQ(expand("/a/%n", "%j"), "/a/%j");
}

TEST(PathPattern, AnythingElseIsAnError) {
  for (const char* pattern : {"%", "a%", "%q", "%J", "%%%", "% j", "%a"})
    EXPECT_THROW(expand(pattern), std::invalid_argument) << pattern;
}

TEST(PathPattern, EscapedIsItself) { EXPECT_EQ(expand(escape_path_pattern("/50%j%%/x")), "/50%j%%/x"); }

}  // namespace
}  // namespace drover
