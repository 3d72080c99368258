// Who is alive on two levels: several nodes' watches, joined by heartbeats that tests can cut.
#include "runtime/exchange/group_watch.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace drover {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000, kSuspect = 5 * kSecond;

class Watches : public testing::Test {
 protected:
  Watches() {
    for (int rank = 0; rank < layout_.size; ++rank) {
      watches_.emplace_back(rank, layout_, kSuspect);
      members_.insert(rank);
    }
    for (GroupWatch& watch : watches_) watch.tick(members_, true, now_);
  }

  // A second: everybody who is not silent sends its heartbeats, then all look around.
  void second() {
    now_ += kSecond;
    for (int from = 0; from < layout_.size; ++from) {
      if (silent_.count(from) != 0) continue;
      for (int to = 0; to < layout_.size; ++to) at(to).heard(from, now_);
      if (!at(from).leads(members_, now_)) continue;
      for (const int to : at(from).leaders_to_tell(members_, now_))
        at(to).leader_heard(from, at(from).own_group(now_), members_, now_);
    }
    for (int rank = 0; rank < layout_.size; ++rank)
      if (silent_.count(rank) == 0) at(rank).tick(members_, false, now_);
  }
  void seconds(int count) {
    for (int i = 0; i < count; ++i) second();
  }
  GroupWatch& at(int rank) { return watches_[static_cast<std::size_t>(rank)]; }
  std::vector<std::int32_t> alive(int rank) { return at(rank).alive(members_, now_); }
  static std::vector<std::int32_t> without(std::set<int> gone) {
    std::vector<std::int32_t> rest;
    for (int rank = 0; rank < 9; ++rank)
      if (gone.count(rank) == 0) rest.push_back(rank);
    return rest;
  }

  const GroupLayout layout_{9, 3};
  std::uint64_t now_ = 1000 * kSecond;
  std::vector<GroupWatch> watches_;
  std::set<int> members_, silent_;
};

TEST_F(Watches, LowestMembersLeadAndTellEachOtherOnly) {
  seconds(10);
  for (int rank = 0; rank < 9; ++rank) EXPECT_EQ(at(rank).leads(members_, now_), rank % 3 == 0) << rank;
  EXPECT_EQ(at(3).leaders_to_tell(members_, now_), (std::vector<int>{0, 6}));
  for (int rank = 0; rank < 9; ++rank) EXPECT_EQ(alive(rank), without({})) << rank;
}

TEST_F(Watches, AMembersSilenceIsKnownToAllLeaders) {
  seconds(3);
  silent_ = {4};
  seconds(7);
  for (const int leader : {0, 3, 6}) EXPECT_EQ(alive(leader), without({4})) << leader;
  silent_.clear();
  seconds(2);
  for (const int leader : {0, 3, 6}) EXPECT_EQ(alive(leader), without({})) << leader;
}

TEST_F(Watches, ALeadersSuccessorTakesOver) {
  seconds(3);
  silent_ = {3};
  seconds(7);
  EXPECT_TRUE(at(4).leads(members_, now_));
  EXPECT_FALSE(at(5).leads(members_, now_));
  for (const int leader : {0, 4, 6}) EXPECT_EQ(alive(leader), without({3})) << leader;
  members_.erase(3);
  seconds(2);
  EXPECT_EQ(at(0).leaders_to_tell(members_, now_), (std::vector<int>{4, 6}));
}

TEST_F(Watches, TheFirstLeadersSuccessorKnowsOfAll) {
  seconds(3);
  silent_ = {0, 7};
  for (int i = 0; i < 12; ++i) {
    second();
    for (const int rank : {1, 2, 3, 4, 5, 6, 8}) {
      const auto all = alive(rank);
      for (const int there : {1, 2, 3, 4, 5, 6, 8})
        EXPECT_TRUE(std::count(all.begin(), all.end(), there)) << there << " is dead for " << rank << " after " << i;
    }
  }
  EXPECT_EQ(alive(1), without({0, 7}));
}

TEST_F(Watches, AWholeGroupsSilenceIsBelievedLater) {
  seconds(3);
  silent_ = {3, 4, 5};
  seconds(8);
  EXPECT_EQ(alive(0), without({}));
  seconds(4);
  EXPECT_EQ(alive(0), without({3, 4, 5}));
  members_ = {0, 1, 2, 6, 7, 8};
  silent_.clear();
  seconds(2);
  EXPECT_EQ(alive(0), without({}));
}

TEST_F(Watches, AnExcludedLeaderIsNotBelievedButHeard) {
  seconds(3);
  silent_ = {3};
  seconds(8);
  members_.erase(3);
  seconds(2);
  silent_.clear();
  second();
  AliveSet nonsense;
  at(0).leader_heard(3, nonsense, members_, now_);  // 4 leads and is heard
  EXPECT_EQ(alive(0), without({}));
  EXPECT_TRUE(at(4).leads(members_, now_));
}

TEST_F(Watches, WhoIsHeardAfterTheClockWasReadIsAlive) {
  seconds(3);
  at(0).heard(1, now_ + 1);
  at(0).leader_heard(3, at(3).own_group(now_), members_, now_ + 1);
  EXPECT_EQ(alive(0), without({}));
  EXPECT_TRUE(at(0).own_group(now_)[1]);
  EXPECT_EQ(at(0).leaders_to_tell(members_, now_), (std::vector<int>{3, 6}));
}

TEST_F(Watches, NobodyIsSuspectedByOneWhoWasStopped) {
  seconds(3);
  silent_ = {0};  // stopped: it neither sends nor looks
  seconds(60);
  silent_.clear();
  at(0).tick(members_, true, now_);
  EXPECT_EQ(alive(0), without({}));
  seconds(12);  // and it hears the others soon enough
  EXPECT_EQ(alive(0), without({}));
}

}  // namespace
}  // namespace drover
