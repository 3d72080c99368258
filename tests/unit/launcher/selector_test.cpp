// Which jobs words and options mean, and what is said of those that mean none.
#include "launcher/selector.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace drover {
namespace {

using Words = std::vector<std::string>;

Json job(long id, const std::string& name, const std::string& state, const std::string& origin = "node0") {
  return {{"job", id}, {"name", name}, {"state", state}, {"origin", origin}};
}

// As droverd lists them: the highest id is another node's.
Json some_jobs() {
  return {job(1, "make-a", "ended"),    job(3, "make-b", "running"), job(4, "xz", "moving"),
          job(7, "make-c", "in-doubt"), job(9, "gzip", "failed"),    job(12, "sort", "running", "node1")};
}

JobSelector selector(const Words& words, std::optional<std::string> name = std::nullopt, Words states = {}) {
  return SelectorOptions{words, std::move(name), std::move(states)}.selector();
}

std::vector<long> chosen(const JobSelector& which, Scope scope = Scope::Unfinished) {
  std::vector<long> ids;
  for (const Json& one : choose_jobs(which, scope, some_jobs(), "node0")) ids.push_back(job_id(one));
  return ids;
}

template <class Error, class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

using Ids = std::vector<long>;

TEST(Selector, NumbersRangesAndLists) {
  EXPECT_EQ(chosen(selector({"7"})), Ids({7}));
  EXPECT_EQ(chosen(selector({"3-9,12"})), Ids({3, 4, 7, 9, 12}));
  EXPECT_EQ(chosen(selector({"0-1000000000000"})), Ids({1, 3, 4, 7, 9, 12}));
  EXPECT_EQ(chosen(selector({"4-4"})), Ids({4}));
}

TEST(Selector, KeepsTheOrderOfTheWordsAndEachJobWhereItWasNamedLast) {
  EXPECT_EQ(chosen(selector({"12,3", "7"})), Ids({12, 3, 7}));
  EXPECT_EQ(chosen(selector({"7", "4", "7"})), Ids({4, 7}));
}

TEST(Selector, LastIsTheHighestOfTheNodeOneTalksTo) {
  EXPECT_EQ(chosen(selector({"last"})), Ids({9}));
  EXPECT_EQ(job_id(choose_jobs(selector({"last"}), Scope::Unfinished, some_jobs(), "node1").at(0)), 12);
  EXPECT_NE(error_of<std::runtime_error>([] {
              choose_jobs(selector({"last"}), Scope::Unfinished, some_jobs(), "node5");
            }).find("last: no job was submitted at node5"),
            std::string::npos);
}

TEST(Selector, AllIsWhatHasNotEnded) { EXPECT_EQ(chosen(selector({"all"}), Scope::Everything), Ids({3, 4, 7, 12})); }

TEST(Selector, WithoutWordsTheCommandSaysWhich) {
  EXPECT_EQ(chosen(selector({})), Ids({3, 4, 7, 12}));
  EXPECT_EQ(chosen(selector({}), Scope::Everything), Ids({1, 3, 4, 7, 9, 12}));
}

TEST(Selector, OptionsNarrow) {
  EXPECT_EQ(chosen(selector({}, "make-*")), Ids({3, 7}));
  EXPECT_EQ(chosen(selector({}, "make-*"), Scope::Everything), Ids({1, 3, 7}));
  EXPECT_EQ(chosen(selector({}, "make-[!b]"), Scope::Everything), Ids({1, 7}));
  EXPECT_EQ(chosen(selector({}, std::nullopt, {"failed", "moving"})), Ids({4, 9}));
  EXPECT_EQ(chosen(selector({"1-4"}, "make-*", {"running"})), Ids({3}));
  EXPECT_EQ(chosen(selector({"last"}, "make-*")), Ids({}));
  EXPECT_EQ(chosen(selector({"all"}, std::nullopt, {"ended"})), Ids({}));
}

TEST(Selector, OnlyPlainNumbersNeedNoQuestion) {
  EXPECT_TRUE(selector({"7", "8,9"}).only_numbers());
  for (const auto& asks : {selector({}), selector({"7-8"}), selector({"7", "last"}), selector({"all"}),
                           selector({"7"}, "x"), selector({"7"}, std::nullopt, {"running"})})
    EXPECT_FALSE(asks.only_numbers()) << asks.text();
}

TEST(Selector, SaysWhichWordMeansNoJob) {
  const auto error = [](const Words& words) { return error_of<std::runtime_error>([&] { chosen(selector(words)); }); };
  EXPECT_EQ(error({"3", "20-30"}), "jobs 20-30: no such job; see drover ps --all");
  EXPECT_EQ(error({"3", "5"}), "job 5: no such job; see drover ps --all");
}

TEST(Selector, RefusesWordsThatAreNone) {
  for (const std::string word :
       {"", "x", "1.5", "-3", "3-", "3-x", "3,,4", "3,", "ALL", "99999999999999999999", "1-2-3"})
    EXPECT_NE(error_of<UsageError>([&] { selector({word}); }).find("names no jobs; give ids as 7 or 3-9,12"),
              std::string::npos)
        << word;
  EXPECT_EQ(error_of<UsageError>([] { selector({"9-3"}); }), "'9-3' ends before it begins; write 3-9");
}

TEST(Selector, FailedAreProgramsThatFailedToo) {
  Json jobs = {job(1, "a", "failed"), job(2, "a", "ended"), job(3, "a", "ended"),
               job(4, "a", "ended"),  job(5, "a", "lost"),  job(6, "a", "running")};
  jobs[2]["exit"] = 3;
  jobs[3]["signal"] = 9;
  jobs[5]["exit"] = nullptr;  // as droverd lists it
  const auto in_state = [&jobs](const char* state) {
    std::vector<long> ids;
    for (const Json& one : choose_jobs(selector({}, std::nullopt, {state}), Scope::Everything, jobs, "node0"))
      ids.push_back(job_id(one));
    return ids;
  };
  EXPECT_EQ(in_state("failed"), (std::vector<long>{1, 3, 4}));
  EXPECT_EQ(in_state("ended"), (std::vector<long>{2, 3, 4}));
}

TEST(Selector, TellsWhatWasTyped) {
  EXPECT_EQ(selector({"3-9,12", "last"}, "a b*", {"lost"}).text(), "3-9 12 last --name 'a b*' --state lost");
}

}  // namespace
}  // namespace drover
