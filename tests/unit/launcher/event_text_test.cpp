// Events as people read them.
#include "launcher/event_text.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

using nlohmann::json;

TEST(EventDetails, NamesEachFieldButWhatIsKnownOrFillsPages) {
  const json event = {{"event", "moved"},   {"node", "node0"},      {"time_ns", 1}, {"job", 7},
                      {"place", "node1"},   {"reason", ""},         {"epoch", 2},   {"spec", {{"argv", {"true"}}}},
                      {"input", {1, 2, 3}}, {"output_from", {0, 5}}};
  EXPECT_EQ(event_details(event), R"(epoch=2 job=7 output_from=[0,5] place="node1")");
  EXPECT_EQ(event_details(event, "job"), R"(epoch=2 output_from=[0,5] place="node1")");
}

TEST(EventDetails, ALongListIsToldByItsEnds) {
  json jobs = json::array();
  for (int id = 3; id < 11; ++id) jobs.push_back(id);
  EXPECT_EQ(event_details({{"event", "archived"}, {"jobs", jobs}}), "jobs=[3,4,5,6,7,8,9,10]");
  jobs.push_back(12);
  EXPECT_EQ(event_details({{"event", "archived"}, {"jobs", jobs}}), "jobs=[3,...,12] (9)");
}

}  // namespace
}  // namespace drover
