// A cluster in discrete events, under the very policies that droverd runs (runtime/policy).
//
// The one difference is what surrounds them: a probe is answered at once and truly, a move takes `cost` seconds in
// which the job is nowhere, and the load of a node is its number of jobs. What is old here is what is old there: the
// shared table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/policy/groups.h"
#include "runtime/policy/policy.h"
#include "runtime/simulate/exchange_cost.h"
#include "runtime/simulate/station.h"
#include "runtime/simulate/workload.h"

namespace drover::simulate {

struct Options {
  PolicySettings policy;
  bool central = false;  // instead of nodes: one queue, and all processors serve it. The bound that theory knows
  int nodes = 64;
  double load = 0.9;  // arriving work per second over what all nodes together can do
  Arrivals arrivals = Arrivals::Poisson;
  ServiceTime service;
  Discipline discipline = Discipline::ProcessorSharing;
  std::vector<double> speeds{1};  // of node i: speeds[i % size]
  double threshold = 1;           // a node of so many jobs is BUSY, below it is FREE
  double cost = 0.1;              // seconds for which a moving job is frozen
  double round = 1;               // seconds between looks of FREE nodes and between pairings; 0: no rounds
  double age_of_table = 1;        // seconds between two tables; 0: always true
  // More nodes than this share in groups: of others they know what their leader has heard a table ago from the other
  // leaders. Not where the table is always true.
  int two_level_above = kDefaultTwoLevelAbove;
  std::uint64_t jobs = 100'000;
  std::uint64_t seed = 1;
  std::vector<Arrival> trace;  // instead of arrivals, service and load
  bool batch = false;          // all `jobs` arrive at the start
};

struct Result {
  double mean_response = 0, confidence_95 = 0;           // seconds, and the half width of the mean's interval
  double mean_slowdown = 0, slowdown_confidence_95 = 0;  // response over work
  double p99_slowdown = 0;
  double utilization = 0;  // share of the processors' time in which they had a job
  double probes_per_job = 0;
  std::uint64_t jobs = 0;        // measured: the first tenth is left out as warm-up
  std::uint64_t placements = 0;  // jobs that started elsewhere than they arrived
  std::uint64_t migrations = 0;
  std::uint64_t announcements = 0;  // of a node to those it shares with, besides the rounds
  // Seconds for which what a decision believed of the nodes that it asked had been true no longer for certain.
  double mean_age = 0, worst_age = 0;
  int groups = 1;                                 // 1: one level
  ExchangeCost exchange;                          // of a round, by the model of exchange_cost.h
  double announcement_messages_per_node = 0;      // datagrams that a node sends, in a round
  double makespan = 0, makespan_lower_bound = 0;  // the bound for a batch only, else 0
};

// Deterministic for given options. Throws std::invalid_argument for options that make no sense.
Result simulate(const Options& options);

}  // namespace drover::simulate
