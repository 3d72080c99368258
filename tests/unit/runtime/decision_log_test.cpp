// Logged decisions come out again as they were; and what an owner wants.
#include "runtime/policy/decision_log.h"

#include <gtest/gtest.h>

#include "runtime/policy/owner.h"

namespace drover {
namespace {

using nlohmann::json;

std::vector<NodeView> three_nodes() {
  std::vector<NodeView> table(3);
  table[0].load = 3.25, table[0].state = NodeState::Busy, table[0].jobs = table[0].movable = 3;
  table[1].load = 1.0 / 3, table[1].arrivals_per_second = 0.01;
  table[2].speed = 0.7, table[2].memory_available_kib = 123456;
  return table;
}

PolicySettings default_settings() {
  PolicySettings settings;
  settings.policy = find_policy(kDefaultPolicy).value();
  return settings;
}

// As a file keeps it.
json kept(const json& event) { return json::parse(event.dump()); }

TEST(DecisionLog, APlacementComesOutAgain) {
  const auto table = three_nodes();
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto placement = place(default_settings(), 0, table[0], table, seed);
    const json event = kept(record_place(default_settings(), 7, 0, table[0], table, seed, {}, placement));
    EXPECT_FALSE(replay_decision(event)) << event;
  }
}

TEST(DecisionLog, AMigrationComesOutAgain) {
  const auto table = three_nodes();
  std::vector<Candidate> jobs(2);
  jobs[0].job = 1, jobs[0].age_seconds = 100, jobs[0].resident_kib = 1 << 20, jobs[0].files = 3;
  jobs[1].job = 2, jobs[1].age_seconds = 50.0 / 3;
  const auto choice = choose_migrant(jobs, table[0], table[1], table, MigrationRule{});
  ASSERT_TRUE(choice);
  const json event = kept(record_give(MigrationRule{}, jobs, table[0], 1, table[1], table, *choice));
  EXPECT_FALSE(replay_decision(event)) << event;
}

TEST(DecisionLog, AnotherOutcomeIsTold) {
  const auto table = three_nodes();
  json event =
      record_place(default_settings(), 7, 0, table[0], table, 1, {}, place(default_settings(), 0, table[0], table, 1));
  event["input"]["own"][0] = 0.0;  // it was idle after all
  EXPECT_TRUE(replay_decision(event));
}

TEST(DecisionLog, WhatIsNoDecisionIsAnError) {
  EXPECT_THROW(replay_decision(json::object()), std::invalid_argument);
  EXPECT_THROW(replay_decision(json{{"decision", "guess"}, {"input", {{"table", json::array()}}}, {"output", 1}}),
               std::invalid_argument);
  const auto table = three_nodes();
  json event = record_place(default_settings(), 7, 0, table[0], table, 1, {}, {});
  event["input"]["self"] = 3;
  EXPECT_THROW(replay_decision(event), std::invalid_argument);
  event["input"]["self"] = 0;
  event["input"]["policy"] = "nonesuch";
  EXPECT_THROW(replay_decision(event), std::invalid_argument);
}

TEST(Owner, WantsForeignJobsOnlyWhileTheNodeIsFreeOfOtherLoad) {
  const OwnerPolicy when_free{Accept::WhenFree, 0.5};
  constexpr std::uint8_t kOut = kNoForeignJobs | kForeignJobsLeave;
  EXPECT_EQ(owner_flags(when_free, 0.4, 0), 0);
  EXPECT_EQ(owner_flags(when_free, 0.6, 0), kNoForeignJobs);  // may be over at once
  EXPECT_EQ(owner_flags(when_free, 0.6, kNoForeignJobs), kOut);
  EXPECT_EQ(owner_flags(when_free, 0.4, kNoForeignJobs), kNoForeignJobs);
  EXPECT_EQ(owner_flags(when_free, 0.2, kNoForeignJobs), 0);
  EXPECT_EQ(owner_flags(when_free, 0.4, kOut), kOut);  // not with every breath
  EXPECT_EQ(owner_flags(when_free, 0.2, kOut), 0);
  EXPECT_EQ(owner_flags({Accept::Always, 0}, 9, kOut), 0);
  EXPECT_EQ(owner_flags({Accept::Never, 0.5}, 0, 0), kOut);
}

TEST(Owner, IsReadByName) {
  EXPECT_EQ(find_accept("when-free"), Accept::WhenFree);
  EXPECT_EQ(find_accept("always"), Accept::Always);
  EXPECT_EQ(find_accept("never"), Accept::Never);
  EXPECT_FALSE(find_accept("sometimes"));
}

}  // namespace
}  // namespace drover
