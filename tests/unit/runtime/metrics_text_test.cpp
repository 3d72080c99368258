#include "runtime/control/metrics_text.h"

#include <gtest/gtest.h>

using drover::metrics_text;
using nlohmann::json;

static bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

static const json kNode = {
    {"node", "a"},
    {"state", "BUSY"},
    {"age_ms", 250.0},
    {"stale", false},
    {"pus", 4},
    {"slots", 4},
    {"free_slots", 1},
    {"jobs", 3},
    {"memory_kib", 2048},
    {"speed", 1.25},
    {"foreign_jobs", 0},
    {"factors", {{"run_queue", {{"value", 0.5}, {"known", true}}}, {"swap_used", {{"value", 0.0}, {"known", false}}}}}};

TEST(Metrics, HasEachFigureOnceWithItsUnit) {
  const std::string text = metrics_text(json::array({kNode}));
  EXPECT_TRUE(has_line(text, R"(drover_node_up{node="a"} 1)")) << text;
  EXPECT_TRUE(has_line(text, R"(drover_node_state{node="a",state="BUSY"} 1)"));
  EXPECT_TRUE(has_line(text, R"(drover_node_memory_bytes{node="a"} 2097152)"));
  EXPECT_TRUE(has_line(text, R"(drover_node_load_age_seconds{node="a"} 0.25)"));
  EXPECT_TRUE(has_line(text, R"(drover_node_speed_ratio{node="a"} 1.25)"));
  EXPECT_TRUE(has_line(text, R"(drover_node_load_factor{node="a",factor="run_queue"} 0.5)"));
  EXPECT_TRUE(has_line(text, "# TYPE drover_node_jobs gauge"));
  EXPECT_EQ(text.find("swap_used"), std::string::npos) << "not known";
  EXPECT_EQ(text.find("drover_node_memory_available_bytes{"), std::string::npos) << "there is none";
}

TEST(Metrics, TellsNothingOfTheLoadOfWhoWasNeverHeard) {
  json node = kNode;
  node["age_ms"] = -1.0;
  const std::string text = metrics_text(json::array({node}));
  EXPECT_TRUE(has_line(text, R"(drover_node_up{node="a"} 0)"));
  EXPECT_TRUE(has_line(text, R"(drover_node_pus{node="a"} 4)"));
  EXPECT_EQ(text.find("drover_node_jobs{"), std::string::npos);
  EXPECT_EQ(text.find("drover_node_load_factor{"), std::string::npos);
}

TEST(Metrics, EscapesNames) {
  json node = kNode;
  node["node"] = "a\"\\\n";
  EXPECT_TRUE(has_line(metrics_text(json::array({node})), R"(drover_node_up{node="a\"\\\n"} 1)"));
}
