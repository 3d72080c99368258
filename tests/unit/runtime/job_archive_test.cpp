// The archive of jobs that ended long ago: found by id, and searched block by block.
#include "runtime/jobs/job_archive.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runtime/control/clock.h"
#include "runtime/jobs/event_log.h"
#include "temporary_directory.h"

namespace drover {
namespace {

using nlohmann::json;
using Jobs = std::vector<std::pair<std::int64_t, std::string>>;

std::pair<std::int64_t, std::string> job(std::int64_t id, std::int64_t ended_ns = 1, const char* name = "x") {
  return {id, json{{"job", id}, {"ended_ns", ended_ns}, {"name", name}}.dump()};
}

std::vector<std::int64_t> ids_of(const std::vector<std::string>& jobs) {
  std::vector<std::int64_t> ids;
  ids.reserve(jobs.size());
  for (const std::string& text : jobs) ids.push_back(json::parse(text).at("job"));
  return ids;
}

TEST(JobArchive, FindsAJobByItsIdWhoeverHasArchivedIt) {
  const TemporaryDirectory dir;
  const std::string archive = dir.path() + "/archive";
  EXPECT_FALSE(find_archived(archive, 7));  // not even made
  archive_jobs(archive, "node0", {job(7), job(999), job(1000)});
  archive_jobs(archive, "node1", {job(8, 1, "other's"), job(71)});
  EXPECT_EQ(find_archived(archive, 7)->at("job"), 7);
  EXPECT_EQ(find_archived(archive, 8)->at("name"), "other's");
  EXPECT_EQ(find_archived(archive, 999)->at("job"), 999);
  EXPECT_EQ(find_archived(archive, 1000)->at("job"), 1000);
  EXPECT_FALSE(find_archived(archive, 1));
  EXPECT_FALSE(find_archived(archive, 10));
  EXPECT_FALSE(find_archived(archive, 1001));
}

TEST(JobArchive, OneThatWasArchivedTwiceIsThereOnce) {
  const TemporaryDirectory dir;
  archive_jobs(dir.path(), "node0", {job(7)});
  archive_jobs(dir.path(), "node0", {job(7), job(9)});
  EXPECT_EQ(ids_of(search_block(dir.path(), 0, {})), (std::vector<std::int64_t>{7, 9}));
}

TEST(JobArchive, ALineThatACrashHasCutIsNoJobAndSpoilsNone) {
  const TemporaryDirectory dir;
  archive_jobs(dir.path(), "node0", {job(7)});
  const std::string file = dir.path() + "/0/node0.jsonl";
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_APPEND));
  ASSERT_EQ(::write(fd.get(), "{\"job\":8,\"na", 12), 12);
  EXPECT_EQ(ids_of(search_block(dir.path(), 0, {})), (std::vector<std::int64_t>{7}));
  archive_jobs(dir.path(), "node0", {job(9)});
  EXPECT_EQ(ids_of(search_block(dir.path(), 0, {})), (std::vector<std::int64_t>{7, 9}));
}

TEST(JobArchive, IsSearchedByIdAndEndTheNewestBlockFirst) {
  const TemporaryDirectory dir;
  archive_jobs(dir.path(), "node0", {job(5, 100), job(1500, 200), job(1501, 300), job(12000, 50)});
  EXPECT_EQ(blocks_to_search(dir.path(), {}), (std::vector<std::int64_t>{12, 1, 0}));
  EXPECT_EQ(blocks_to_search(dir.path(), {.first = 6, .last = 1999}), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(ids_of(search_block(dir.path(), 1, {.first = 1501})), (std::vector<std::int64_t>{1501}));
  EXPECT_EQ(ids_of(search_block(dir.path(), 1, {.since_ns = 201})), (std::vector<std::int64_t>{1501}));
  EXPECT_EQ(ids_of(search_block(dir.path(), 0, {.first = 6})), (std::vector<std::int64_t>{}));
  // Nothing was appended to block 1 since: none in it can have ended later.
  const timespec long_ago[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (dir.path() + "/1/node0.jsonl").c_str(), long_ago, 0), 0);
  const auto now_ns = static_cast<std::int64_t>(realtime_ns());
  EXPECT_EQ(blocks_to_search(dir.path(), {.since_ns = now_ns}), (std::vector<std::int64_t>{12, 0}));
}

TEST(EventLog, CutsOffALastLineWithoutAnEndHoweverLong) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/log";
  const auto lines = [&path] {
    std::vector<std::string> all;
    for_each_event_line(path, [&](std::string&& line) { all.push_back(std::move(line)); });
    return all;
  };
  const std::string longer(200'000, 'x');
  dir.write("log", "a\n" + longer + "\n" + longer);
  EXPECT_EQ(lines(), (std::vector<std::string>{"a", longer}));
  EventLog(path).append("b\n");
  EXPECT_EQ(lines(), (std::vector<std::string>{"a", longer, "b"}));
  dir.write("log", longer);
  EventLog(path).append("c\n");
  EXPECT_EQ(lines(), (std::vector<std::string>{"c"}));
}

}  // namespace
}  // namespace drover
