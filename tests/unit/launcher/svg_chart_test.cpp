// The chart writer: ticks, places, and documents that are well-formed whatever the data.
#include "launcher/plot/svg_chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "launcher/plot/svg_axis.h"

namespace drover {
namespace {

// Every tag is closed in order, and no attribute or text holds a bare & or an unclosed quote: enough of XML's rules to
// find what this writer could get wrong.
std::string malformed(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = 0; (at = text.find('<', at)) != std::string::npos;) {
    const std::size_t end = text.find('>', at);
    if (end == std::string::npos) return "unclosed tag";
    const std::string tag = text.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0 || tag.find('<') != std::string::npos) return tag;
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "closes " + tag;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end;
  }
  for (std::size_t at = 0; (at = text.find('&', at)) != std::string::npos; ++at)
    if (text.find(';', at) > at + 5) return "bare &";
  return open.empty() ? "" : "open " + open.back();
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

TEST(LinearTicks, AreRoundAndCoverTheRange) {
  EXPECT_EQ(linear_ticks(0, 1), (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_EQ(linear_ticks(0, 10), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(linear_ticks(-3, 7), (std::vector<double>{-4, -2, 0, 2, 4, 6, 8}));
  for (const double high : {1e-9, 0.37, 1.0, 99.0, 123456.0, 7e15}) {
    const auto ticks = linear_ticks(0, high);
    EXPECT_LE(ticks.front(), 0);
    EXPECT_GE(ticks.back(), high * (1 - 1e-9));
    EXPECT_GE(ticks.size(), 3U) << high;
    EXPECT_LE(ticks.size(), 8U) << high;
  }
}

TEST(LinearTicks, GiveOneValueALength) {
  for (const double value : {0.0, 5.0, -2.0, 1e30}) {
    const auto ticks = linear_ticks(value, value);
    EXPECT_GE(ticks.size(), 2U);
    EXPECT_LT(ticks.front(), ticks.back());
    EXPECT_LE(ticks.front(), value);
    EXPECT_GE(ticks.back(), value);
  }
}

TEST(LogTicks, ArePowersOfTen) {
  EXPECT_EQ(log_ticks(1, 1000), (std::vector<double>{1, 10, 100, 1000}));
  EXPECT_EQ(log_ticks(3, 20000), (std::vector<double>{1, 10, 100, 1000, 10000, 100000}));
  EXPECT_EQ(log_ticks(3, 40), (std::vector<double>{2, 5, 10, 20, 50}));
  const auto one = log_ticks(10, 10);
  EXPECT_GE(one.size(), 2U);
  EXPECT_LE(one.front(), 10);
  EXPECT_LT(one.front(), one.back());
}

TEST(TickLabel, IsShort) {
  EXPECT_EQ(tick_label(0), "0");
  EXPECT_EQ(tick_label(-0.0), "0");
  EXPECT_EQ(tick_label(0.6000000000000001), "0.6");
  EXPECT_EQ(tick_label(1500), "1500");
  EXPECT_EQ(tick_label(20000), "20k");
  EXPECT_EQ(tick_label(1.5e6), "1.5M");
  EXPECT_EQ(tick_label(-2e9), "-2G");
}

TEST(Axis, PlacesValues) {
  const SvgAxis linear({0, 10}, false, 100, 200), log({1, 100}, true, 100, 200), upwards({0, 10}, false, 200, 100);
  EXPECT_DOUBLE_EQ(linear.place(5), 150);
  EXPECT_NEAR(log.place(10), 150, 1e-9);
  EXPECT_DOUBLE_EQ(upwards.place(10), 100);
}

TEST(Chart, DrawsEachSeriesWithItsLegend) {
  SvgChart chart;
  chart.title = "slow < \"fast\" & 'more'";
  chart.x_title = "level";
  chart.y_title = "slowdown";
  chart.series = {{"one", {{0, 0}, {1, 1}, {2, 4}}}, {"two", {{0, 1}, {2, 2}}, true}, {"", {{1, 1}}}};
  chart.rules = {{SvgRule::Axis::Y, 2, "threshold"}, {SvgRule::Axis::X, 1, "low"}};
  const std::string text = svg_chart(chart);
  EXPECT_EQ(malformed(text), "");
  EXPECT_EQ(count(text, "<circle"), 6U);
  EXPECT_EQ(count(text, ">one</text>") + count(text, ">two</text>"), 2U);
  EXPECT_EQ(count(text, ">threshold</text>") + count(text, ">low</text>"), 2U);
  EXPECT_NE(text.find("slow &lt; &quot;fast&quot; &amp; &apos;more&apos;"), std::string::npos);
  EXPECT_EQ(text, svg_chart(chart));
}

TEST(Chart, PointsLieInside) {
  SvgChart chart;
  chart.width = 300;
  chart.height = 200;
  chart.series = {{"a", {{0, 0}, {10, 10}}}};
  const std::string text = svg_chart(chart);
  EXPECT_NE(text.find("<path d=\"M62.0 152.0L284.0 34.0\""), std::string::npos) << text;
}

TEST(Chart, LeavesGapsForWhatCannotBeDrawn) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();
  SvgChart chart;
  chart.log_x = chart.log_y = true;
  chart.series = {{"a", {{1, 1}, {0, 5}, {10, 10}, {kNan, 1}, {1, kInf}, {100, -1}, {100, 100}}}};
  chart.rules = {{SvgRule::Axis::Y, 0, "zero"}, {SvgRule::Axis::X, kNan, "nan"}};
  const std::string text = svg_chart(chart);
  EXPECT_EQ(malformed(text), "");
  EXPECT_EQ(count(text, "<circle"), 3U);
  EXPECT_EQ(text.find("nan"), std::string::npos);
  EXPECT_EQ(text.find("inf"), std::string::npos);
  EXPECT_EQ(text.find(">zero<"), std::string::npos);
  const auto path = text.find("stroke-width=\"1.8\"");
  ASSERT_NE(path, std::string::npos);
  const auto begin = text.rfind("<path", path);
  EXPECT_EQ(count(text.substr(begin, path - begin), "M"), 3U);  // each point stands alone
}

TEST(Chart, WithoutDataSaysSo) {
  EXPECT_NE(svg_chart({}).find("no data"), std::string::npos);
  EXPECT_EQ(malformed(svg_chart({})), "");
  SvgChart chart;
  chart.series = {{"one", {{5, 5}}}};
  EXPECT_EQ(svg_chart(chart).find("no data"), std::string::npos);
}

TEST(Page, HoldsEveryChart) {
  SvgChart chart;
  chart.title = "panel";
  chart.series = {{"a", {{0, 1}, {1, 2}}}};
  const std::string text = svg_page("three", {chart, chart, chart}, 2);
  EXPECT_EQ(malformed(text), "");
  EXPECT_EQ(count(text, ">panel</text>"), 3U);
  EXPECT_NE(text.find("width=\"1280\" height=\"834\""), std::string::npos) << text.substr(0, 200);
  EXPECT_EQ(malformed(svg_page("none", {}, 0)), "");
}

}  // namespace
}  // namespace drover
