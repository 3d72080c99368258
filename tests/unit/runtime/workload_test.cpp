// What arrives in a simulation.
#include "runtime/simulate/workload.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace drover::simulate {
namespace {

std::string error_of(const std::string& trace, int nodes = 2) {
  try {
    parse_trace(trace, "jobs.txt", nodes);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST(ServiceTime, WrongOnesSayWhatIsPermitted) {
  for (const char* text :
       {"", "expo", "pareto", "pareto:", "pareto:1,1", "pareto:1,2,1", "pareto:1,1,1", "pareto:0,1,9", "pareto:1,0,9",
        "pareto:1,-1,9", "pareto:1,1,inf", "pareto:nan,1,9", "pareto:1,1,9x", "pareto:1,1,9,9"}) {
    try {
      ServiceTime::parse(text);
      FAIL() << text;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("exp, det or pareto:ALPHA,MIN,MAX"), std::string::npos) << error.what();
    }
  }
}

TEST(ServiceTime, DrawsHaveTheMeanThatIsTold) {
  for (const char* text : {"exp", "det", "pareto:1,1,1000", "pareto:1.5,1,1000", "pareto:0.7,2,50", "pareto:3,1,10"}) {
    const auto service = ServiceTime::parse(text);
    Random random(1);
    double sum = 0, squares = 0;
    constexpr int kDraws = 400'000;
    for (int i = 0; i < kDraws; ++i) {
      const double x = service.draw(random);
      sum += x;
      squares += x * x;
    }
    const double mean = sum / kDraws, deviation = std::sqrt(std::max(0.0, squares / kDraws - mean * mean) / kDraws);
    EXPECT_NEAR(mean, service.mean(), 4 * deviation + 1e-9) << text;
  }
  EXPECT_NEAR(ServiceTime::parse("pareto:1,1,1000").mean(), std::log(1000) * 1000 / 999, 1e-9);
  EXPECT_NEAR(ServiceTime::parse("pareto:1.000001,1,1000").mean(), std::log(1000) * 1000 / 999, 1e-4);
}

TEST(ServiceTime, ParetoStaysInItsBoundsAndHasItsTail) {
  const auto service = ServiceTime::parse("pareto:1,1,1000");
  Random random(2);
  int above = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double x = service.draw(random);
    ASSERT_TRUE(x >= 1 && x <= 1000);
    above += x > 10;
  }
  EXPECT_NEAR(above / 1e5, (0.1 - 0.001) / (1 - 0.001), 0.004);
}

TEST(Workload, HasItsRateInEveryForm) {
  for (const Arrivals form : {Arrivals::Poisson, Arrivals::Bursty, Arrivals::AtOneNode}) {
    Workload workload(form, {}, 5, 4, 1);
    std::vector<int> at(4);
    double last = 0;
    constexpr int kJobs = 200'000;
    for (int i = 0; i < kJobs; ++i) {
      const Arrival arrival = workload.next();
      ASSERT_TRUE(arrival.time >= last && arrival.work > 0);
      last = arrival.time;
      ++at.at(static_cast<std::size_t>(arrival.node));
    }
    EXPECT_NEAR(kJobs / last, 5, 0.2);
    if (form == Arrivals::AtOneNode)
      EXPECT_EQ(at[0], kJobs);
    else
      for (const int jobs : at) EXPECT_NEAR(jobs, kJobs / 4, kJobs / 40);
  }
}

TEST(Workload, BurstsAreOfTenJobsOnAverage) {
  Workload workload(Arrivals::Bursty, {}, 1, 1000, 1);
  int bursts = 0;
  double last = -1;
  for (int i = 0; i < 100'000; ++i) {
    const Arrival arrival = workload.next();
    bursts += arrival.time != last;
    last = arrival.time;
  }
  EXPECT_NEAR(100'000.0 / bursts, 10, 0.4);
}

TEST(Workload, FormsAreFoundByName) {
  EXPECT_EQ(find_arrivals("poisson"), Arrivals::Poisson);
  EXPECT_EQ(find_arrivals("bursty"), Arrivals::Bursty);
  EXPECT_EQ(find_arrivals("at-one-node"), Arrivals::AtOneNode);
  EXPECT_FALSE(find_arrivals("often"));
}

TEST(Trace, IsReadWithCommentsAndWithoutNodes) {
  const auto jobs = parse_trace("# a day\n0 10\n\n  0.5\t2 1 # big\n1e1 3\n", "jobs.txt", 2);
  ASSERT_EQ(jobs.size(), 3U);
  EXPECT_DOUBLE_EQ(jobs[1].time, 0.5);
  EXPECT_DOUBLE_EQ(jobs[1].work, 2);
  EXPECT_EQ(jobs[0].node, 0);
  EXPECT_EQ(jobs[1].node, 1);
  EXPECT_EQ(jobs[2].node, 0);  // in turn
  EXPECT_EQ(parse_trace("0 1\r\n1 1 1\r\n", "jobs.txt", 2)[1].node, 1);
}

TEST(Trace, ErrorsNameTheLine) {
  EXPECT_EQ(error_of("0 1\nx 1\n"), "jobs.txt:2: must be ARRIVAL-SECONDS WORK-SECONDS [NODE]");
  for (const char* line : {"1", "1x 1", "1 x", "1 1x", "1 1 0 9", "1 1 0 x"})
    EXPECT_EQ(error_of(std::string("# head\n") + line), "jobs.txt:2: must be ARRIVAL-SECONDS WORK-SECONDS [NODE]")
        << line;
  for (const char* line : {"1 0", "1 -3", "1 nan", "1 inf"})
    EXPECT_EQ(error_of(line), "jobs.txt:1: the work must be more than 0 seconds") << line;
  EXPECT_EQ(error_of("5 1\n4 1\n"), "jobs.txt:2: arrivals must be in order, from 0 seconds on");
  EXPECT_EQ(error_of("-1 1\n"), "jobs.txt:1: arrivals must be in order, from 0 seconds on");
  for (const char* line : {"1 1 x", "1 1 0.5", "1 1 -", "1 1 99999999999"})
    EXPECT_EQ(error_of(line), "jobs.txt:1: the node must be a number") << line;
  for (const char* line : {"1 1 2", "1 1 -1"})
    EXPECT_EQ(error_of(line), "jobs.txt:1: there is no node of that number (see --nodes)") << line;
  EXPECT_EQ(error_of("# nothing\n\n"), "jobs.txt: no jobs in it");
}

}  // namespace
}  // namespace drover::simulate
