// The event logs of several nodes as one: in order, whole, however long, and going on with what is appended.
#include "runtime/jobs/event_reader.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "temporary_directory.h"

namespace drover {
namespace {

using nlohmann::json;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kHour = 3600 * kSecond;

class EventReaderTest : public testing::Test {
 protected:
  void append(const std::string& node, std::int64_t time_ns, std::int64_t number, std::size_t padding = 0) const {
    std::ofstream(directory_.path() + "/" + node + ".jsonl", std::ios::app)
        << json{{"node", node}, {"time_ns", time_ns}, {"number", number}, {"padding", std::string(padding, 'x')}}
        << '\n';
  }
  static std::vector<std::int64_t> drain(EventReader& reader, std::size_t* most = nullptr) {
    std::vector<std::int64_t> numbers;
    for (auto lines = reader.next(); !lines.empty(); lines = reader.next()) {
      std::size_t bytes = 0;
      for (const std::string& line : lines) {
        numbers.push_back(json::parse(line).at("number"));
        bytes += line.size();
      }
      if (most != nullptr) *most = std::max(*most, bytes);
    }
    return numbers;
  }
  EventReader reader(EventReader::Span span = {}, std::map<std::string, double> ahead_ms = {}) const {
    return {directory_.path(), span, std::move(ahead_ms)};
  }

  TemporaryDirectory directory_;
};

TEST_F(EventReaderTest, WeavesTheLogsInTheOrderOfTime) {
  append("a", 1 * kSecond, 1);
  append("b", 2 * kSecond, 2);
  append("a", 3 * kSecond, 3);
  append("a", 3 * kSecond, 4);
  append("b", 4 * kSecond, 5);
  auto all = reader();
  EXPECT_EQ(drain(all), (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(drain(all), (std::vector<std::int64_t>{}));
  append("c", 1 * kSecond, 6);  // late: it comes all the same
  append("b", 5 * kSecond, 7);
  EXPECT_EQ(drain(all), (std::vector<std::int64_t>{6, 7}));
}

TEST_F(EventReaderTest, ALogKeepsItsOrderThoughItsClockWasPutBack) {
  append("a", 5 * kSecond, 1);
  append("a", 2 * kSecond, 2);
  append("b", 3 * kSecond, 3);
  append("a", 6 * kSecond, 4);
  auto all = reader();
  EXPECT_EQ(drain(all), (std::vector<std::int64_t>{3, 1, 2, 4}));
}

TEST_F(EventReaderTest, TakesAWrongClockIntoAccount) {
  append("a", 10 * kSecond, 1);
  append("b", 12 * kSecond, 2);  // at 7
  auto all = reader({}, {{"b", 5000}});
  const auto lines = all.next();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(json::parse(lines[0]).at("number"), 2);
  EXPECT_EQ(json::parse(lines[0]).at("clock_ahead_ms"), 5000);
  EXPECT_FALSE(json::parse(lines[1]).contains("clock_ahead_ms"));
}

TEST_F(EventReaderTest, HalfALineWaitsForItsEnd) {
  append("a", 1, 1);
  const std::string path = directory_.path() + "/a.jsonl";
  std::ofstream(path, std::ios::app) << R"({"time_ns":2,"number":2,"no)";
  auto all = reader();
  EXPECT_EQ(drain(all), (std::vector<std::int64_t>{1}));
  std::ofstream(path, std::ios::app) << "de\":\"a\"}\nno event\n[3]\n";
  append("a", 3, 3);
  EXPECT_EQ(drain(all), (std::vector<std::int64_t>{2, 3}));
}

TEST_F(EventReaderTest, GivesALongLogPieceByPieceAndLongLinesWhole) {
  for (std::int64_t i = 0; i < 6000; ++i) append(i % 2 == 0 ? "a" : "b", i, i, i % 1000 == 999 ? 300'000 : 1000);
  auto all = reader();
  std::size_t most = 0;
  const auto numbers = drain(all, &most);
  ASSERT_EQ(numbers.size(), 6000U);
  for (std::int64_t i = 0; i < 6000; ++i) ASSERT_EQ(numbers[static_cast<std::size_t>(i)], i);
  EXPECT_LT(most, 1'500'000U);
}

TEST_F(EventReaderTest, OfASpanOfTimeThatIsFoundAnywhereInALongLog) {
  constexpr std::int64_t kEvents = 3000;
  for (std::int64_t i = 0; i < kEvents; ++i) append(i % 3 == 0 ? "a" : "b", i * kHour, i, 500);
  for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1234}, kEvents - 1, kEvents}) {
    auto some = reader({.from_ns = first * kHour, .until_ns = (first + 2) * kHour});
    std::vector<std::int64_t> expected;
    for (std::int64_t i = first; i <= first + 2 && i < kEvents; ++i) expected.push_back(i);
    EXPECT_EQ(drain(some), expected) << first;
  }
}

TEST_F(EventReaderTest, NoLogsAreNoEvents) {
  EventReader nowhere(directory_.path() + "/none", {}, {});
  EXPECT_EQ(nowhere.next(), std::vector<std::string>{});
}

}  // namespace
}  // namespace drover
