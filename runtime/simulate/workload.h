// What arrives in a simulation: how often, where, and how much work each job is. Work is in seconds of a reference PU.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/policy/random.h"

namespace drover::simulate {

// Exponential and deterministic service times have mean 1.
class ServiceTime {
 public:
  // "exp", "det", "pareto:ALPHA,MIN,MAX" (bounded Pareto: density ~ x^(-ALPHA-1) from MIN to MAX). Throws
  // std::invalid_argument, saying what is permitted.
  static ServiceTime parse(const std::string& text);
  double draw(Random&) const;
  double mean() const;

 private:
  enum class Kind : std::uint8_t { Exponential, Deterministic, Pareto };
  Kind kind_ = Kind::Exponential;
  double alpha_ = 1, least_ = 1, most_ = 1;
};

enum class Arrivals : std::uint8_t {
  Poisson,    // of the same rate at every node
  Bursty,     // bursts at a random node, of 10 jobs on average (geometric), as of people who submit a series
  AtOneNode,  // Poisson, all at node 0
};
// "poisson", "bursty", "at-one-node"
std::optional<Arrivals> find_arrivals(const std::string& name);

struct Arrival {
  double time = 0, work = 0;
  int node = 0;
};

// Where the next job comes from; endless unless it is a list.
class Workload {
 public:
  // `rate`: jobs per second at all nodes together.
  Workload(Arrivals arrivals, ServiceTime service, double rate, int nodes, std::uint64_t seed)
      : arrivals_(arrivals), service_(service), rate_(rate), nodes_(nodes), random_(seed) {}
  Arrival next();

 private:
  Arrivals arrivals_;
  ServiceTime service_;
  double rate_;
  int nodes_;
  Random random_;
  double now_ = 0;
  std::uint64_t burst_left_ = 0;
  int burst_node_ = 0;
};

// A recorded list of jobs: one line each, "ARRIVAL-SECONDS WORK-SECONDS [NODE]"; # begins a comment; in order of
// arrival. Throws std::invalid_argument naming `name` and the line.
std::vector<Arrival> parse_trace(const std::string& text, const std::string& name, int nodes);

}  // namespace drover::simulate
