// Typing into `drover top`, and droverd's answers as its rows: no terminal and no droverd.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>

#include "launcher/top/controls.h"
#include "launcher/top/event_row.h"
#include "launcher/top/requests.h"

namespace drover::top {
namespace {

using nlohmann::json;
using Kind = Key::Kind;

json node_json(const std::string& name, const std::string& state, double load) {
  return {{"node", name},
          {"host", "here"},
          {"state", state},
          {"age_ms", 100},
          {"memory_kib", 1000},
          {"memory_available_kib", 250},
          {"jobs", 1},
          {"speed", 1.5},
          {"own", {{"run_queue", load}}},
          {"foreign", {{"run_queue", 0.0}}}};
}

json job_json(long id, const std::string& name, const std::string& state = "running") {
  return {{"job", id}, {"name", name}, {"state", state}, {"node", "node0"}, {"argv", {"/bin/" + name, "a b"}}};
}

World a_world() {
  World world;
  world.heard = true;
  world.nodes = node_rows({node_json("node0", "BUSY", 2), node_json("node1", "NORMAL", 0.1),
                           node_json("node2", "FREE", 0.2), node_json("node3", "DRAINING", 0)});
  world.jobs = job_rows({job_json(1, "xz"), job_json(2, "gzip"), job_json(3, "Bzip2", "queued"), job_json(4, "make")});
  return world;
}

class Typist {
 public:
  Typist() { controls_.settle(world); }
  std::optional<Action> text(const std::string& typed) {
    std::optional<Action> action;
    for (const char c : typed) action = controls_.press({Kind::Text, std::string(1, c)}, world);
    return action;
  }
  std::optional<Action> press(Kind kind) { return controls_.press({kind}, world); }
  View& view() { return controls_.view(); }
  World world = a_world();

 private:
  Controls controls_;
};

TEST(TopControls, MovesToTheBestPlaceByDefault) {
  Typist typist;
  EXPECT_FALSE(typist.text("m"));
  ASSERT_NE(typist.view().menu, nullptr);
  EXPECT_EQ(typist.view().menu->items.size(), 2U);  // neither its own node nor one that drains
  const auto action = typist.press(Kind::Enter);
  ASSERT_TRUE(action);
  EXPECT_EQ(action->kind, Action::Kind::Move);
  EXPECT_EQ(action->job, 1);
  EXPECT_EQ(action->node, "node2");
  EXPECT_EQ(request_of(*action), json({{"op", "migrate"}, {"job", 1}, {"node", "node2"}}));
  EXPECT_EQ(typist.view().menu, nullptr);
}

TEST(TopControls, MovesWhereOneSays) {
  Typist typist;
  typist.press(Kind::Down);
  typist.text("m");
  typist.press(Kind::Home);
  const auto action = typist.press(Kind::Enter);
  ASSERT_TRUE(action);
  EXPECT_EQ(action->job, 2);
  EXPECT_EQ(action->node, "node1");
}

TEST(TopControls, AMenuIsAboutWhatWasSelectedThen) {
  Typist typist;
  typist.text("k");
  typist.world.jobs.erase(typist.world.jobs.begin());
  const auto action = typist.press(Kind::Enter);
  ASSERT_TRUE(action);
  EXPECT_EQ(action->job, 1);
  EXPECT_EQ(action->signal, SIGTERM);
}

TEST(TopControls, KillsWithASignalThatIsChosenOrNotAtAll) {
  Typist typist;
  typist.text("k");
  typist.press(Kind::Down);
  typist.press(Kind::Down);
  auto action = typist.press(Kind::Enter);
  ASSERT_TRUE(action);
  EXPECT_EQ(action->signal, SIGKILL);
  EXPECT_EQ(request_of(*action), json({{"op", "kill"}, {"job", 1}, {"signal", 9}}));
  typist.text("k");
  EXPECT_FALSE(typist.press(Kind::Escape));
  EXPECT_FALSE(typist.press(Kind::Enter));
}

TEST(TopControls, HoldsTheSelectedJobOrReleasesIt) {
  Typist typist;
  auto action = typist.text("h");
  ASSERT_TRUE(action);
  EXPECT_EQ(request_of(*action), json({{"op", "hold"}, {"job", 1}, {"set", true}}));
  for (JobRow& job : typist.world.jobs) job.state = "held";
  action = typist.text("h");
  ASSERT_TRUE(action);
  EXPECT_EQ(request_of(*action), json({{"op", "hold"}, {"job", 1}, {"set", false}}));
  typist.world.jobs.clear();
  EXPECT_FALSE(typist.text("h"));
}

TEST(TopControls, DrainsAndTakesBackTheSelectedNode) {
  Typist typist;
  typist.press(Kind::Tab);
  typist.press(Kind::Down);
  typist.text("d");
  typist.press(Kind::Down);
  EXPECT_FALSE(typist.press(Kind::Enter));  // "No"
  typist.text("d");
  auto action = typist.press(Kind::Enter);
  ASSERT_TRUE(action);
  EXPECT_EQ(request_of(*action).value("set", false), true);
  EXPECT_EQ(action->node, "node1");
  action = typist.text("u");
  ASSERT_TRUE(action);
  EXPECT_EQ(request_of(*action).value("set", true), false);
}

TEST(TopControls, FiltersAndSorts) {
  Typist typist;
  EXPECT_FALSE(typist.text("/zipq"));  // typed, not obeyed
  EXPECT_EQ(typist.view().filter, "zipq");
  typist.press(Kind::Backspace);
  EXPECT_EQ(sorted_jobs(typist.world, typist.view().filter, Sort::Job, false).size(), 2U);
  EXPECT_EQ(typist.view().job, 2);  // the first that is still shown
  typist.press(Kind::Enter);
  EXPECT_FALSE(typist.view().typing_filter);
  EXPECT_EQ(typist.text("q")->kind, Action::Kind::Quit);
  typist.press(Kind::Escape);
  EXPECT_EQ(typist.view().filter, "");
  for (int i = 0; i < static_cast<int>(Sort::Name); ++i) typist.text("s");
  EXPECT_EQ(typist.view().sort, Sort::Name);
  EXPECT_EQ(sorted_jobs(typist.world, "", Sort::Name, false).front()->name, "Bzip2");
  EXPECT_EQ(sorted_jobs(typist.world, "", Sort::Name, true).front()->name, "xz");
}

TEST(TopControls, SaysWhyNot) {
  Typist typist;
  typist.press(Kind::Down);
  typist.press(Kind::Down);
  typist.text("m");
  EXPECT_EQ(typist.view().message, "job 3 can't be moved: it is queued");
  typist.world.jobs.clear();
  typist.text("k");
  EXPECT_EQ(typist.view().message, "no job is selected");
  typist.press(Kind::Up);  // nothing to go to
  typist.world.nodes.clear();
  typist.press(Kind::Tab);
  typist.press(Kind::Down);
}

TEST(TopControls, HelpGoesAtAnyKey) {
  Typist typist;
  typist.text("?");
  ASSERT_NE(typist.view().menu, nullptr);
  typist.text("k");
  EXPECT_EQ(typist.view().menu, nullptr);
}

TEST(TopRows, OfAnswers) {
  const World world = a_world();
  EXPECT_DOUBLE_EQ(world.nodes[0].memory_share, 0.75);
  EXPECT_EQ(world.jobs[0].command, "/bin/xz 'a b'");
  EXPECT_TRUE(world.jobs[2].held_up);
  auto rows = node_rows({{{"node", "n"}, {"state", "UNKNOWN"}, {"age_ms", -1}}});
  EXPECT_FALSE(rows[0].known);
  const json marks = {{{"node", "a"}, {"factors", {{"run_queue", {{"low", 0.5}, {"high", 1.0}}}}}},
                      {{"node", "b"}, {"factors", {{"run_queue", {{"value", 0.5}}}}}}};
  EXPECT_EQ(watermarks_of(marks).size(), 1U);
  EXPECT_THROW(node_rows({{{"node", 7}}}), json::exception);
}

TEST(TopEvents, AreSentences) {
  const auto text = [](const json& event) { return event_row(event).value_or(EventRow{}).text; };
  EXPECT_EQ(text({{"event", "migrated"},
                  {"job", 7},
                  {"from", "a"},
                  {"to", "b"},
                  {"ok", true},
                  {"frozen_ms", 12.34},
                  {"image_bytes", 2048},
                  {"reason", "b was FREE"}}),
            "job 7 moved a -> b, frozen 12.3 ms, 2 KiB: b was FREE");
  EXPECT_EQ(text({{"event", "migrated"}, {"job", 7}, {"from", "a"}, {"to", "b"}, {"ok", false}, {"error", "no"}}),
            "job 7 not moved a -> b: no");
  EXPECT_EQ(text({{"event", "ended"}, {"job", 7}, {"place", "a"}, {"wait_status", 9}}),
            "job 7 ended by signal 9 on a, 0.0 s of CPU");
  EXPECT_EQ(text({{"event", "drain"}, {"node", "a"}, {"reason", "new memory"}}), "a is drained: new memory");
  EXPECT_EQ(text({{"event", "decided"}, {"job", 7}}), "");
  EXPECT_EQ(text(json::object()), "");
}

TEST(TopEvents, StandInOrderAndNotForEver) {
  std::vector<EventRow> events;
  for (std::uint64_t i = 1; i <= 2000; ++i) add_event(events, {i ^ 1U, ""});
  EXPECT_LE(events.size(), 500U);
  EXPECT_TRUE(std::is_sorted(events.begin(), events.end(),
                             [](const EventRow& a, const EventRow& b) { return a.time_ns < b.time_ns; }));
  EXPECT_EQ(events.back().time_ns, 2001U);
}

TEST(TopRequests, TellWhatBecameOfThem) {
  const Action move{Action::Kind::Move, 7, 0, "b"};
  const json report = {{"job", 7}, {"from", "a"}, {"to", "b"}, {"ok", false}, {"error", "gone"}};
  EXPECT_FALSE(outcome_of(move, {{"report", report}}).ok);
  EXPECT_EQ(outcome_of(move, {{"report", report}}).text, "job 7: a -> b: not moved: gone; it runs on where it was");
  EXPECT_THROW(outcome_of(move, json::object()), json::exception);
  EXPECT_EQ(outcome_of({Action::Kind::Kill, 7, SIGTERM}, json::object()).text, "job 7: SIGTERM is sent");
}

}  // namespace
}  // namespace drover::top
