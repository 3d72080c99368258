#include "runtime/load/pu_set.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace drover {
namespace {

TEST(PuSet, FormatsAsTheKernelDoes) {
  EXPECT_EQ(format_pus({}), "");
  EXPECT_EQ(format_pus({0}), "0");
  EXPECT_EQ(format_pus({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
}

TEST(PuSet, ParsesWhatItFormats) {
  for (const PuSet& pus : {PuSet{}, PuSet{0}, PuSet{0, 1, 5}, PuSet{2, 3, 4, 64, 65, 255}})
    EXPECT_EQ(parse_pus(format_pus(pus)), pus);
  EXPECT_EQ(parse_pus("4,0-2,1\n"), (PuSet{0, 1, 2, 4}));
}

TEST(PuSet, RefusesWhatIsNoList) {
  for (const char* bad : {"a", "1-", "-1", "3-1", "1,,2", "0-99999999999", "4294967295"})
    EXPECT_THROW(parse_pus(bad), std::invalid_argument) << bad;
}

}  // namespace
}  // namespace drover
