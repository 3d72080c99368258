#include "ckpt/image/births.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace drover {
namespace {

ProcessState process(pid_t pid, pid_t parent, pid_t group, pid_t session) {
  ProcessState state;
  state.pid = pid;
  state.parent = parent;
  state.process_group = group;
  state.session = session;
  return state;
}

ProcessState subreaper(ProcessState state) {
  state.child_subreaper = true;
  return state;
}

ProcessState sharing(ProcessState state, SharedState shared) {
  state.shared = shared;
  return state;
}

// What the kernel would make of the steps.
class World {
 public:
  struct Person {
    pid_t parent, group, session;
    // Whose were they first.
    pid_t memory = 0, handlers = 0, files = 0, directories = 0;
    bool operator==(const Person&) const = default;
  };

  void obey(const BirthStep& step) {
    switch (step.act) {
      case BirthAct::Make:
        people_[step.pid] = step.by == 0 ? Person{kAbove, kOutside, kOutside}
                                         : Person{step.by, people_.at(step.by).group, people_.at(step.by).session};
        return share(step);
      case BirthAct::MakeSibling:
        people_[step.pid] = {people_.at(step.by).parent, people_.at(step.by).group, people_.at(step.by).session};
        return share(step);
      case BirthAct::NewSession:
        EXPECT_FALSE(has_group(step.pid));
        people_.at(step.pid).group = people_.at(step.pid).session = step.pid;
        return;
      case BirthAct::LeadGroup:
        EXPECT_NE(people_.at(step.pid).session, step.pid);
        people_.at(step.pid).group = step.pid;
        return;
      case BirthAct::JoinGroup:
        EXPECT_TRUE(has_group_in(step.group, people_.at(step.pid).session)) << step.pid << " joins " << step.group;
        people_.at(step.pid).group = step.group;
        return;
      case BirthAct::End:
        return end(step.pid);
    }
  }

  std::map<pid_t, Person> people_;
  std::vector<pid_t> subreapers_;
  static constexpr pid_t kAbove = 1, kOutside = 900;

 private:
  void share(const BirthStep& step) {
    Person& born = people_.at(step.pid);
    const Person maker = step.by == 0 ? Person{} : people_.at(step.by);
    born.memory = (step.shares & kShareMemory) != 0 ? maker.memory : step.pid;
    born.handlers = (step.shares & kShareHandlers) != 0 ? maker.handlers : step.pid;
    born.files = (step.shares & kShareFiles) != 0 ? maker.files : step.pid;
    born.directories = (step.shares & kShareDirectories) != 0 ? maker.directories : step.pid;
    EXPECT_TRUE((step.shares & kShareHandlers) == 0 || (step.shares & kShareMemory) != 0) << "clone(2): EINVAL";
  }
  bool has_group(pid_t group) const {
    return std::any_of(people_.begin(), people_.end(), [group](const auto& p) { return p.second.group == group; });
  }
  bool has_group_in(pid_t group, pid_t session) const {
    return std::any_of(people_.begin(), people_.end(),
                       [=](const auto& p) { return p.second.group == group && p.second.session == session; });
  }
  void end(pid_t pid) {
    pid_t reaper = people_.at(pid).parent;
    while (people_.count(reaper) != 0 && std::find(subreapers_.begin(), subreapers_.end(), reaper) == subreapers_.end())
      reaper = people_.at(reaper).parent;
    people_.erase(pid);
    for (auto& [child, person] : people_) {
      if (person.parent == pid) person.parent = reaper;
    }
  }
};

// The tree that comes out is the one that was asked for, and nobody else is left.
void expect_born(const std::vector<ProcessState>& tree) {
  const auto births = plan_births(tree, [](pid_t pid) { return pid != 32'000; });
  const auto* steps = std::get_if<std::vector<BirthStep>>(&births);
  ASSERT_NE(steps, nullptr) << std::get<Refusal>(births).reason;
  World world;
  for (const ProcessState& state : tree) {
    if (state.child_subreaper) world.subreapers_.push_back(state.pid);
  }
  for (const BirthStep& step : *steps) {
    EXPECT_NE(step.pid, 32'000);
    world.obey(step);
  }
  std::map<pid_t, World::Person> wanted;
  for (const ProcessState& state : tree) {
    const auto first = [&](std::int32_t other) { return other != 0 ? other : state.pid; };
    const SharedState& shared = state.shared;
    wanted[state.pid] = {
        state.parent,        state.process_group,      state.session, first(shared.memory), first(shared.handlers),
        first(shared.files), first(shared.directories)};
  }
  for (const auto& [pid, person] : world.people_)
    EXPECT_TRUE(wanted.count(pid) != 0 && wanted[pid] == person)
        << pid << ": parent " << person.parent << ", group " << person.group << ", session " << person.session;
  EXPECT_EQ(world.people_.size(), wanted.size());
}

std::string refusal(const std::vector<ProcessState>& tree) {
  const auto births = plan_births(tree, [](pid_t) { return true; });
  const auto* reason = std::get_if<Refusal>(&births);
  return reason != nullptr ? reason->reason : "";
}

TEST(Births, OneProcess) {
  expect_born({process(10, 1, 900, 900)});
  expect_born({process(10, 1, 10, 900)});
  expect_born({process(10, 1, 10, 10)});
}

TEST(Births, ChildrenOfBothSessionsOfTheirParent) {
  expect_born({process(10, 1, 10, 10), process(11, 10, 11, 11), process(12, 11, 10, 10), process(13, 11, 11, 11),
               process(14, 13, 14, 11)});
}

TEST(Births, TheSessionOfAGrandparentThroughTwoLeaders) {
  expect_born({process(10, 1, 10, 10), process(11, 10, 11, 11), process(12, 11, 12, 12), process(13, 12, 10, 10)});
}

TEST(Births, AChildOfTheSessionThatTheRootCameFrom) {
  EXPECT_EQ(refusal({process(10, 1, 10, 10), process(11, 10, 50, 50)}), "");
}

TEST(Births, GroupsWhoseLeadersAreGone) {
  expect_born({process(10, 1, 10, 10), process(11, 10, 50, 10), process(12, 11, 50, 10)});
  expect_born({process(10, 1, 900, 900), process(11, 10, 50, 900)});
}

TEST(Births, ALeaderThatHasLeftItsGroup) {
  expect_born({process(10, 1, 10, 10), process(11, 10, 10, 10), process(12, 10, 11, 10)});
  expect_born({process(10, 1, 10, 10), process(11, 10, 12, 10), process(12, 10, 11, 10)});
}

TEST(Births, OrphansAreSiblingsOfTheRoot) {
  expect_born({process(10, 1, 10, 10), process(11, 1, 10, 10)});
  expect_born({process(10, 1, 10, 10), process(11, 1, 50, 50), process(12, 11, 50, 50), process(13, 1, 51, 50)});
  expect_born({process(10, 1, 10, 10), process(11, 10, 11, 11), process(12, 1, 11, 11), process(13, 12, 13, 13)});
}

TEST(Births, ASubreaperTakesIn) {
  expect_born(
      {process(10, 1, 10, 10), subreaper(process(11, 10, 10, 10)), process(12, 11, 50, 50), process(13, 12, 50, 50)});
}

TEST(Births, TablesOfTheParentOrOfASibling) {
  const ProcessState root = process(10, 1, 10, 10);
  expect_born({root, sharing(process(11, 10, 10, 10), {.files = 10, .directories = 10}),
               sharing(process(12, 10, 10, 10), {.memory = 10, .handlers = 10}),
               sharing(process(13, 12, 13, 10), {.memory = 10, .files = 12})});
  expect_born({root, process(11, 10, 10, 10), sharing(process(12, 10, 10, 10), {.files = 11, .directories = 11}),
               sharing(process(13, 10, 10, 10), {.files = 11})});
  // A sibling of the root, and one in a session that its sibling has begun.
  expect_born({root, sharing(process(11, 1, 10, 10), {.memory = 10})});
  expect_born({root, process(11, 10, 11, 11), process(12, 11, 11, 11),
               sharing(process(13, 11, 11, 11), {.memory = 12, .handlers = 12, .files = 12, .directories = 12})});
}

TEST(Births, TablesOfSomebodyElseAreRefused) {
  const ProcessState root = process(10, 1, 10, 10);
  EXPECT_EQ(refusal({root, process(11, 10, 10, 10), sharing(process(12, 11, 10, 10), {.files = 10})}),
            "process 12 shares its descriptors with process 10, which is neither its parent nor a sibling that could "
            "have made it");
  // Of two makers each has a part of it only.
  EXPECT_NE(
      refusal({root, process(11, 10, 10, 10), sharing(process(12, 10, 10, 10), {.files = 10, .directories = 11})}), "");
}

TEST(Births, WhatCannotBeIsRefused) {
  EXPECT_EQ(refusal({process(10, 1, 900, 900), process(11, 10, 50, 50)}),
            "process 11 is in a session that its parent was never in");
  EXPECT_EQ(
      refusal({process(10, 1, 10, 10), process(11, 10, 11, 11), process(12, 11, 60, 60), process(13, 11, 50, 50)}),
      "process 11 has children of several sessions that are not its own");
  EXPECT_EQ(refusal({process(10, 1, 10, 10), process(11, 10, 0, 10)}),
            "process 11 is in a process group of another namespace");
}

}  // namespace
}  // namespace drover
