// Short ways to say what is simulated.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>

#include "runtime/simulate/simulator.h"

namespace drover::simulate {

// Another seed than the one that the tests know shows whether they hold by luck: DROVER_TEST_SEED=7.
inline std::uint64_t first_seed() {
  const char* seed = std::getenv("DROVER_TEST_SEED");
  return seed ? std::strtoull(seed, nullptr, 10) : 1;
}

inline Options options_of(const std::string& policy, int nodes, double load, std::uint64_t jobs) {
  Options options;
  options.central = policy == "central";
  options.policy.policy = find_policy(options.central ? "none" : policy).value();
  options.nodes = nodes;
  options.load = load;
  options.jobs = jobs;
  options.seed = first_seed();
  return options;
}

// As queueing theory has it: one after the other, what everybody knows is true, and jobs that wait move for nothing.
inline Options ideal(const std::string& policy, int nodes, double load, std::uint64_t jobs) {
  Options options = options_of(policy, nodes, load, jobs);
  options.discipline = Discipline::Fcfs;
  options.cost = options.round = options.age_of_table = 0;
  return options;
}

// Nodes that share their processor among jobs with a heavy tail: what the default policy is made for.
inline Options heavy_tail(const std::string& policy, double load, std::uint64_t jobs) {
  Options options = options_of(policy, 64, load, jobs);
  options.service = ServiceTime::parse("pareto:1,1,1000");
  return options;
}

// "0_95": for tests of several loads.
inline std::string load_name(const testing::TestParamInfo<double>& load) {
  return "0_" + std::to_string(std::lround(load.param * 100));
}

}  // namespace drover::simulate
