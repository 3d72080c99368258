// The simulator against queueing theory. Service is exponential of mean 1 and jobs arrive at rate rho at each node; the
// formulas for probing hold in the limit of many nodes.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/runtime/simulations.h"

namespace drover::simulate {
namespace {

// M/M/1.
double response_alone(double rho) { return 1 / (1 - rho); }

// M/M/K: 1 + C / (K (1 - rho)), C Erlang's formula of the second kind from the stable recursion of his first.
double response_of_one_queue(int k, double rho) {
  double blocked = 1;
  for (int i = 1; i <= k; ++i) blocked = k * rho * blocked / (i + k * rho * blocked);
  const double waits = blocked / (1 - rho + rho * blocked);
  return 1 + waits / (k * (1 - rho));
}

// Join the shortest of d random queues: Vvedenskaya, Dobrushin and Karpelevich 1996; Mitzenmacher 1996.
double response_of_best_of(int d, double rho) {
  double sum = 0;
  for (int i = 1; i <= 30; ++i) sum += std::pow(rho, (std::pow(d, i) - d) / (d - 1));
  return sum;
}

// Threshold 1 and up to L probes. A share 1 - rho of the nodes is idle whatever the policy, so a job that arrives at a
// busy node stays there with probability rho^L: such a node has arrivals at rate a = rho^(L+1), and by s more than its
// service rate jobs leave it because idle nodes pull them. So its queue is geometric with q = a / (1 + s), and T =
// 1 / (1 - q) by Little's law. (After Eager, Lazowska and Zahorjan 1986.)
//
// A node that turns idle, at rate pi_1 = rho (1 - q), finds with L probes one of the rho q that have a job waiting.
double response_of_probing(double arrivals_when_busy, double rho, int pulling_probes) {
  double q = arrivals_when_busy;
  for (int i = 0; i < 1000; ++i) {
    const double waiting = rho * q;
    const double pulled = rho * (1 - q) * (1 - std::pow(1 - waiting, pulling_probes)) / waiting;
    q = (q + arrivals_when_busy / (1 + pulled)) / 2;
  }
  return 1 / (1 - q);
}
double response_of_senders(int probes, double rho) { return 1 / (1 - std::pow(rho, probes + 1)); }
double response_of_receivers(int probes, double rho) { return response_of_probing(rho, rho, probes); }
double response_of_both(int probes, double rho) { return response_of_probing(std::pow(rho, probes + 1), rho, probes); }

void expect_mean(const Options& options, double expected) {
  const Result result = simulate(options);
  const double tolerance = std::max(0.02 * expected, result.confidence_95);
  EXPECT_NEAR(result.mean_response, expected, tolerance)
      << options.policy.policy.name << " at " << options.load << ": off by "
      << 100 * (result.mean_response / expected - 1) << " %, its interval is " << result.confidence_95;
}

// What is near saturation forgets its empty start slowly and varies much.
std::uint64_t jobs_for(double rho) {
  return rho < 0.75 ? 600'000 : rho < 0.85 ? 700'000 : rho < 0.92 ? 1'000'000 : 2'500'000;
}

class Theory : public testing::TestWithParam<double> {};
INSTANTIATE_TEST_SUITE_P(Load, Theory, testing::Values(0.5, 0.7, 0.8, 0.9, 0.95), load_name);

TEST_P(Theory, NodesAlone) {
  const double rho = GetParam();
  expect_mean(ideal("none", 10, rho, rho < 0.85 ? 2'000'000 : 5'000'000), response_alone(rho));
}

TEST_P(Theory, OneQueueForAll) {
  const double rho = GetParam();
  for (const int nodes : {4, 64})
    expect_mean(ideal("central", nodes, rho, jobs_for(rho)), response_of_one_queue(nodes, rho));
}

TEST_P(Theory, BestOfTwo) {
  const double rho = GetParam();
  expect_mean(ideal("best-of-d", 500, rho, jobs_for(rho)), response_of_best_of(2, rho));
}

TEST_P(Theory, Senders) {
  const double rho = GetParam();
  for (const int probes : {1, 3, 5}) {
    // The response follows the load that the draws happen to make, more steeply than with the other policies.
    Options options = ideal("threshold", 500, rho, rho < 0.85 ? jobs_for(rho) : rho < 0.92 ? 3'000'000 : 4'000'000);
    options.policy.probe_limit = probes;
    expect_mean(options, response_of_senders(probes, rho));
  }
}

TEST_P(Theory, Receivers) {
  const double rho = GetParam();
  expect_mean(ideal("receiver", 500, rho, jobs_for(rho)), response_of_receivers(3, rho));
}

TEST_P(Theory, BothSides) {
  const double rho = GetParam();
  expect_mean(ideal("symmetric", 500, rho, jobs_for(rho)), response_of_both(3, rho));
}

// The formulas themselves, against values that others have printed or that follow by hand.
TEST(Formulas, AreRight) {
  EXPECT_NEAR(response_of_one_queue(1, 0.9), 10, 1e-9);
  EXPECT_NEAR(response_of_one_queue(2, 0.5), 1 / (1 - 0.25), 1e-9);
  EXPECT_NEAR(response_of_best_of(2, 0.9), 2.6141, 1e-4);
  EXPECT_NEAR(response_of_senders(3, 0.9), 2.9078, 1e-4);
  EXPECT_NEAR(response_of_receivers(3, 0.5), 1.336, 1e-3);
  EXPECT_NEAR(response_of_receivers(3, 0.9), 1.897, 1e-3);
}

// Eager, Lazowska and Zahorjan 1986: senders do better under light load and receivers under heavy load. With three
// probes the curves of the formulas cross at 0.785.
TEST(Crossover, OfSendersAndReceiversIsBetween77And80Percent) {
  for (const double rho : {0.77, 0.80}) {
    const Result sender = simulate(ideal("threshold", 500, rho, 1'200'000));
    const Result receiver = simulate(ideal("receiver", 500, rho, 1'200'000));
    const double difference = receiver.mean_response - sender.mean_response;
    EXPECT_GT(rho < 0.785 ? difference : -difference, sender.confidence_95 + receiver.confidence_95)
        << "at " << rho << ": " << sender.mean_response << " and " << receiver.mean_response;
  }
}

// Under processor sharing the mean slowdown depends on the load alone, whatever the distribution of service: Kleinrock.
TEST(ProcessorSharing, IsInsensitiveToTheDistribution) {
  for (const char* service : {"exp", "det", "pareto:1,1,1000"}) {
    Options options = options_of("none", 64, 0.7, 2'000'000);
    options.service = ServiceTime::parse(service);
    const Result result = simulate(options);
    EXPECT_NEAR(result.mean_slowdown, 1 / (1 - 0.7), std::max(0.02 / (1 - 0.7), result.slowdown_confidence_95))
        << service;
  }
}

TEST(Simulation, TheProcessorsAreBusyForTheLoad) {
  for (const char* policy : {"none", "threshold", "balanced"})
    EXPECT_NEAR(simulate(options_of(policy, 64, 0.7, 500'000)).utilization, 0.7, 0.01) << policy;
}

TEST(Simulation, IsTheSameForASeedAndAnotherForAnother) {
  for (const Policy& policy : all_policies()) {
    Options options = heavy_tail(std::string(policy.name), 0.8, 20'000);
    const Result one = simulate(options), same = simulate(options);
    EXPECT_EQ(one.mean_response, same.mean_response) << policy.name;
    EXPECT_EQ(one.probes_per_job, same.probes_per_job) << policy.name;
    EXPECT_EQ(one.migrations, same.migrations) << policy.name;
    ++options.seed;
    EXPECT_NE(one.mean_response, simulate(options).mean_response) << policy.name;
  }
}

TEST(Simulation, AListOfJobsByHand) {
  Options options = options_of("none", 2, 0.5, 1);
  options.trace = parse_trace("0 4 0\n1 1 0\n2 2 1\n", "", 2);
  const Result result = simulate(options);
  EXPECT_EQ(result.jobs, 3U);
  EXPECT_NEAR(result.mean_response, (5 + 2 + 2) / 3.0, 1e-6);  // 1 s alone, 2 s shared, 2 s alone
  EXPECT_NEAR(result.makespan, 5, 1e-9);
  EXPECT_NEAR(result.utilization, 0.7, 1e-9);
}

TEST(Simulation, OptionsThatMakeNoSenseAreRefused) {
  const auto refuses = [](auto change) {
    Options options = options_of("none", 4, 0.5, 100);
    change(options);
    EXPECT_THROW(simulate(options), std::invalid_argument);
  };
  refuses([](Options& o) { o.nodes = 0; });
  refuses([](Options& o) { o.load = 1; });
  refuses([](Options& o) { o.load = std::nan(""); });
  refuses([](Options& o) { o.jobs = 0; });
  refuses([](Options& o) { o.jobs = std::uint64_t{1} << 60; });
  refuses([](Options& o) { o.speeds = {}; });
  refuses([](Options& o) { o.speeds = {1, 0}; });
  refuses([](Options& o) { o.cost = -1; });
  refuses([](Options& o) { o.threshold = 0; });
}

}  // namespace
}  // namespace drover::simulate
