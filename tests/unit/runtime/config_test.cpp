// droverd's configuration file: what holds for all nodes, and what for one.
#include "runtime/config/config.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace drover {
namespace {

std::string error_of(const std::string& text) {
  try {
    parse_config(text, "f.toml");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "none";
}

TEST(Config, ATableOfOneNodeHoldsForThatNodeOnly) {
  const NodeConfig all = parse_config(
      "[node.ws-7.balance]\naccept = \"when-free\"\nforeign_load = 0.3\n"
      "[balance]\naccept = \"never\"\nsafety = 5\n[node.ws8.balance]\npolicy = \"none\"\nmigrate = false\n",
      "f.toml");
  EXPECT_EQ(all.owner.accept, Accept::Never);
  EXPECT_EQ(all.owner.foreign_load, 0.5);
  const NodeConfig one = config_of(all, "ws-7");  // though its table comes first
  EXPECT_EQ(one.owner.accept, Accept::WhenFree);
  EXPECT_EQ(one.owner.foreign_load, 0.3);
  EXPECT_EQ(one.policy.rule.safety, 5);
  const NodeConfig other = config_of(all, "ws8");
  EXPECT_EQ(other.owner.accept, Accept::Never);
  EXPECT_EQ(other.policy.policy.name, "none");
  EXPECT_FALSE(other.policy.migrate);
  EXPECT_EQ(config_of(all, "ws9").owner.accept, Accept::Never);
  const NodeConfig jobs = parse_config("[jobs]\nkeep_finished = 7\n[node.ws7.jobs]\nkeep_finished = 20\n", "f.toml");
  EXPECT_EQ(config_of(jobs, "ws8").keep_finished, 7U);
  EXPECT_EQ(config_of(jobs, "ws7").keep_finished, 20U);
  EXPECT_EQ(config_of(NodeConfig{}, "ws9").owner.accept, Accept::Always);  // no file at all
}

TEST(Config, WhatIsWrongForAnyNodeIsRefusedByAll) {
  EXPECT_EQ(error_of("[node.a.balance]\naccept = \"seldom\"\n"),
            "f.toml: node.a.balance.accept = seldom: always, when-free or never is permitted");
  EXPECT_EQ(error_of("[node.a.balance]\nforeign_load = -1\n"),
            "f.toml: node.a.balance.foreign_load = -1: 0 to 1000 is permitted");
  EXPECT_EQ(error_of("[node.a.balance]\naccepts = 1\n"), "f.toml: node.a.balance.accepts = 1: no key of Drover's");
  EXPECT_EQ(error_of("[node.a.balance]\nround_seconds = 2\n"),
            "f.toml: node.a.balance.round_seconds = 2: must be the same for all nodes: in [balance]");
  EXPECT_EQ(
      error_of("[node.a]\naccept = \"never\"\n"),
      "f.toml: node.a.accept: no such table; there are [balance], [jobs], [node.NAME.balance] and [node.NAME.jobs]");
  EXPECT_EQ(error_of("[node.a.watermarks]\nlow = 1\n"),
            "f.toml: node.a.watermarks.low: no such table; there are [balance], [jobs], [node.NAME.balance] and "
            "[node.NAME.jobs]");
  EXPECT_EQ(
      error_of("[balance.a]\naccept = \"never\"\n"),
      "f.toml: balance.a.accept: no such table; there are [balance], [jobs], [node.NAME.balance] and [node.NAME.jobs]");
  EXPECT_EQ(error_of("[jobs]\nkeep_finished = 0\n"), "f.toml: jobs.keep_finished = 0: 1 to 10000000 is permitted");
  EXPECT_EQ(error_of("[balance]\nkeep_finished = 5\n"), "f.toml: balance.keep_finished = 5: no key of Drover's");
  EXPECT_EQ(error_of("[node.a.jobs]\naccept = never\n"), "f.toml: node.a.jobs.accept = never: no key of Drover's");
  EXPECT_EQ(error_of("[balance]\nmigrate = maybe\n"), "f.toml: balance.migrate = maybe: true or false is permitted");
  EXPECT_EQ(error_of("[balance]\nround_seconds = 2\n[watermarks.run_queue]\nlow = 0.1\n"), "none");
}

}  // namespace
}  // namespace drover
