// What `drover top` draws, in windows of every size: each line fits exactly, and what one looks for is there.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "launcher/terminal_text.h"
#include "launcher/top/bars.h"
#include "launcher/top/controls.h"
#include "launcher/top/layout.h"

namespace drover::top {
namespace {

NodeRow node(const std::string& name, const std::string& state, double own_load = 0.5) {
  NodeRow row;
  row.name = name;
  row.host = "host-of-" + name;
  row.state = state;
  row.known = true;
  row.own_load = own_load;
  row.foreign_load = 0.25;
  row.memory_share = 0.4;
  row.jobs = 2;
  row.speed = 1;
  return row;
}

JobRow job(long id, const std::string& name, const std::string& state = "running") {
  JobRow row;
  row.id = id;
  row.name = name;
  row.command = "./" + name + " --fast";
  row.state = state;
  row.node = row.origin = "node0";
  row.run_seconds = static_cast<double>(id);
  row.why = state == "queued" ? "waits: no PU is free" : "placed: node0 had the better place";
  row.held_up = state == "queued";
  return row;
}

World world_of(std::size_t nodes, long jobs) {
  World world;
  world.instance = "default";
  world.heard = true;
  for (std::size_t i = 0; i < nodes; ++i)
    world.nodes.push_back(node(fmt::format("node{}", i), i % 2 == 0 ? "FREE" : "BUSY"));
  world.watermarks["node0"] = {0.5, 1};
  for (long id = 1; id <= jobs; ++id) world.jobs.push_back(job(id, fmt::format("job-{}", id)));
  for (int i = 1; i <= 20; ++i) world.events.push_back({static_cast<std::uint64_t>(i), fmt::format("event {}", i)});
  return world;
}

View view_of(std::size_t width, std::size_t height) {
  View view;
  view.width = width;
  view.height = height;
  return view;
}

std::vector<std::string> texts(const World& world, View& view) {
  settle(world, view);
  std::vector<std::string> out;
  for (const Line& line : draw(world, view)) {
    EXPECT_EQ(line.width(), view.width) << line.text();
    out.push_back(line.text());
  }
  EXPECT_EQ(out.size(), view.height);
  return out;
}

bool has(const std::vector<std::string>& lines, const std::string& text) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

std::string style_at(const Line& line, std::size_t column) {
  for (const Span& span : line.spans()) {
    if (column < display_width(span.text)) return fmt::format("{}", static_cast<int>(span.style));
    column -= display_width(span.text);
  }
  return "";
}

TEST(TopLayout, ShowsAllInAnUsualWindow) {
  const World world = world_of(3, 4);
  View view = view_of(80, 24);
  const auto lines = texts(world, view);
  EXPECT_EQ(lines[0].substr(0, 61), "drover default  3 nodes: 2 FREE, 1 BUSY  4 jobs              ");
  EXPECT_EQ(lines[1].substr(0, 29), "NODE  STATE    LOAD (per PU) ");
  EXPECT_TRUE(has(lines, "node2 FREE"));
  EXPECT_TRUE(has(lines, " 0.75 "));
  EXPECT_TRUE(has(lines, "  4 running  node0  node0    4.0 s"));
  EXPECT_TRUE(has(lines, "job 1: placed: node0 had the better place"));  // the selected one's
  EXPECT_TRUE(has(lines, "event 20"));
  EXPECT_FALSE(has(lines, "event 16 "));
  EXPECT_EQ(lines[23], "m Move  k Kill  h Hold  d Drain  s Sort  / Filter  Tab Nodes  ? Help  q Quit    ");
}

TEST(TopLayout, FitsEveryWindow) {
  for (const std::size_t nodes : {0U, 1U, 3U, 100U})
    for (const long jobs : {0L, 1L, 50L}) {
      const World world = world_of(nodes, jobs);
      for (const auto& [width, height] :
           {std::pair(80, 24), {40, 10}, {200, 60}, {41, 17}, {79, 18}, {400, 11}, {60, 100}}) {
        View view = view_of(static_cast<std::size_t>(width), static_cast<std::size_t>(height));
        const auto lines = texts(world, view);
        EXPECT_TRUE(nodes == 0 || has(lines, "node0")) << width << "x" << height;
        EXPECT_TRUE(jobs == 0 || has(lines, "job-1")) << width << "x" << height;
      }
    }
}

TEST(TopLayout, AsksForALargerWindow) {
  const World world = world_of(3, 4);
  for (const auto& [width, height] : {std::pair(39, 24), {80, 9}, {1, 1}, {20, 3}}) {
    View view = view_of(static_cast<std::size_t>(width), static_cast<std::size_t>(height));
    const auto lines = texts(world, view);
    if (width >= 24) {
      EXPECT_TRUE(has(lines, "40x10 or more, please"));
    }
  }
  View view = view_of(0, 0);
  EXPECT_TRUE(texts(world, view).empty());
}

TEST(TopLayout, ScrollsToWhatIsSelected) {
  const World world = world_of(100, 10'000);
  View view = view_of(80, 24);
  view.job = 9'000;
  view.node = "node77";
  auto lines = texts(world, view);
  EXPECT_TRUE(has(lines, "job-9000"));
  EXPECT_TRUE(has(lines, "node77"));
  EXPECT_TRUE(has(lines, "100 nodes: 50 FREE, 50 BUSY  10000 jobs"));
  EXPECT_TRUE(has(lines, " of 10000"));
  EXPECT_TRUE(has(lines, " of 100"));
  view.job_index = 9'500;
  view.job = 0;  // has ended: the selection stays at its place
  lines = texts(world, view);
  EXPECT_EQ(view.job, 9'501);
  EXPECT_TRUE(has(lines, "job-9501"));
}

TEST(TopLayout, GivesRoomToNodesWhereJobsNeedNone) {
  const World world = world_of(100, 2);
  View view = view_of(200, 60);
  texts(world, view);
  EXPECT_GT(geometry(world, view).node_rows, 35U);
  EXPECT_GE(geometry(world, view).job_rows, 3U);
}

TEST(TopLayout, TenThousandJobsAreDrawnSwiftly) {
  const World world = world_of(100, 10'000);
  View view = view_of(200, 60);
  view.sort = Sort::Name;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) texts(world, view);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(TopLayout, WideCharactersAndControlCharacters) {
  World world = world_of(1, 0);
  world.jobs = {job(1, "日本語の名前の長い仕事日本語の名前の長い仕事日本語の名前"), job(2, "e\u0301te\u0301"),
                job(3, "a\x1b[2Jb\nc")};
  world.nodes[0].name = "節";
  for (const std::size_t width : {40U, 41U, 79U, 80U, 81U, 200U}) {
    View view = view_of(width, 24);
    const auto lines = texts(world, view);
    EXPECT_TRUE(has(lines, "日本語"));
    EXPECT_TRUE(has(lines, "a?[2Jb?c"));
    EXPECT_FALSE(has(lines, "\x1b"));
  }
}

TEST(TopLayout, TellsWhatIsWrongAndWhatItWaitsFor) {
  World world = world_of(2, 1);
  world.trouble = "lost droverd, trying again";
  View view = view_of(80, 24);
  EXPECT_TRUE(has(texts(world, view), "drover default  lost droverd, trying again  2 nodes"));
  EXPECT_TRUE(has(texts(world, view), "node1"));  // what was known last
  World empty;
  EXPECT_TRUE(has(texts(empty, view), "waiting for droverd"));
  World idle = world_of(1, 0);
  EXPECT_TRUE(has(texts(idle, view), "no jobs; start one with: drover submit"));
}

TEST(TopLayout, WhyAJobWaitsIsBesideItsName) {
  World world = world_of(1, 0);
  world.jobs = {job(1, "a"), job(2, "b", "queued")};
  View view = view_of(80, 24);
  auto lines = texts(world, view);
  EXPECT_TRUE(has(lines, "b  waits: no PU is fr"));
  EXPECT_TRUE(has(lines, "1 job, 1 waiting"));
  view = view_of(160, 24);
  lines = texts(world, view);
  EXPECT_TRUE(has(lines, "WHY, COMMAND"));
  EXPECT_TRUE(has(lines, "placed: node0 had the better place  ./a --fast"));
}

TEST(TopLayout, SelectionIsSeenInBothPanes) {
  const World world = world_of(2, 2);
  View view = view_of(80, 24);
  settle(world, view);
  const auto lines = draw(world, view);
  EXPECT_EQ(style_at(lines[2], 2), fmt::format("{}", static_cast<int>(Style::Marked)));
  EXPECT_EQ(style_at(lines[5], 30), fmt::format("{}", static_cast<int>(Style::Selected)));
}

TEST(TopLayout, AMenuLiesOverTheMiddle) {
  const World world = world_of(2, 20);
  Menu menu{"Move job 1 (日本語) to", {{"node1 FREE", "node1"}, {"節", "x"}}, 1, true};
  for (const auto& [width, height] : {std::pair(80, 24), {40, 10}, {81, 25}}) {
    View view = view_of(static_cast<std::size_t>(width), static_cast<std::size_t>(height));
    view.menu = &menu;
    const auto lines = texts(world, view);
    EXPECT_TRUE(has(lines, "+- Move job 1 (日本語) to "));
    EXPECT_TRUE(has(lines, "| node1 FREE"));
  }
  menu.items.assign(100, {"one of many", ""});
  menu.selected = 70;
  View view = view_of(80, 24);
  view.menu = &menu;
  EXPECT_TRUE(has(texts(world, view), " 71 of 100 "));
}

TEST(TopBars, WatermarksMakeColours) {
  NodeRow row = node("n", "BUSY", 1.0);
  row.foreign_load = 0.5;
  const Line line = load_bar(row, {0.5, 1.0}, {22, true});  // 20 cells for 2 threads
  EXPECT_EQ(line.text(), "[██████████▒▒▒▒▒     ]");
  EXPECT_EQ(style_at(line, 1), fmt::format("{}", static_cast<int>(Style::Green)));
  EXPECT_EQ(style_at(line, 6), fmt::format("{}", static_cast<int>(Style::Yellow)));
  EXPECT_EQ(style_at(line, 11), fmt::format("{}", static_cast<int>(Style::Red)));
  row.own_load = row.foreign_load = 0;
  EXPECT_EQ(load_bar(row, {0.5, 1.0}, {22, false}).text(), "[     |    |         ]");
  row.own_load = 0.01;
  EXPECT_EQ(load_bar(row, {}, {12, false}).text(), "[#         ]");
  row.own_load = 100;
  EXPECT_EQ(load_bar(row, {}, {12, false}).text(), "[##########]");
  EXPECT_EQ(memory_bar(0.5, {12, false}).text(), "[#####     ]");
}

TEST(TopSnapshot, IsPlainText) {
  World world = world_of(2, 2);
  world.events.resize(1);
  const std::string text = snapshot_text(world, 0);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("node1"), std::string::npos);
  EXPECT_NE(text.find("job-2"), std::string::npos);
  EXPECT_NE(text.find("event 1\n"), std::string::npos);
  EXPECT_EQ(text.find(" \n"), std::string::npos);
}

}  // namespace
}  // namespace drover::top
