// What ranks make of each other's cards.
#include "runtime/node/card.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace drover {
namespace {

NodeCard card_of(std::uint64_t boot, std::uint64_t group, std::initializer_list<std::uint64_t> groups) {
  NodeCard card{};
  card.boot_id = boot;
  card.cpu_group = group;
  std::copy(groups.begin(), groups.end(), card.cpu_groups);
  return card;
}

TEST(Card, ACpuGroupIsOnesOwnIfNoOtherRankIsBelowIt) {
  const NodeCard first = card_of(1, 20, {20, 10, 2}), second = card_of(1, 30, {30, 10, 2});
  EXPECT_TRUE(has_own_cpu_group({first, second}, 0));
  EXPECT_TRUE(has_own_cpu_group({first, second}, 1));
  EXPECT_FALSE(has_own_cpu_group({first, first}, 0));
  const NodeCard above = card_of(1, 10, {20, 10, 2});  // its quota is set above, and second is there too
  EXPECT_FALSE(has_own_cpu_group({above, second}, 0));
  EXPECT_TRUE(has_own_cpu_group({above, second}, 1));
  EXPECT_FALSE(has_own_cpu_group({card_of(1, 0, {2}), second}, 0));  // the root
}

TEST(Card, GroupsOfOtherMachinesMayHaveTheSameNumber) {
  EXPECT_TRUE(has_own_cpu_group({card_of(1, 20, {20}), card_of(2, 20, {20})}, 0));
}

TEST(Card, MoreGroupsThanACardHoldsMayBeAny) {
  EXPECT_FALSE(has_own_cpu_group({card_of(1, 20, {20}), card_of(1, 30, {30, kMoreGroups})}, 0));
}

}  // namespace
}  // namespace drover
