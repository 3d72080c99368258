#include "launcher/plot/policy_figures.h"

#include <fmt/format.h>

#include <array>
#include <functional>
#include <vector>

#include "launcher/plot/svg_chart.h"
#include "runtime/simulate/simulator.h"

namespace drover {

namespace {

using simulate::Options;
using simulate::Result;

Options options_of(std::string_view policy) {
  Options options;
  options.policy.policy = find_policy(policy).value();
  return options;
}

// `figure` of simulations that differ in what `change` makes of each x.
SvgSeries run_series(const std::string& name, const Options& options, const std::vector<double>& xs,
                     const std::function<void(Options&, double)>& change,
                     const std::function<double(const Options&)>& figure) {
  SvgSeries series;
  series.name = name;
  for (const double x : xs) {
    Options changed = options;
    change(changed, x);
    series.points.emplace_back(x, figure(changed));
  }
  return series;
}

SvgChart chart_of_loads(const std::string& title, const std::string& y_title, const simulate::ServiceTime& service,
                        double Result::*figure) {
  SvgChart chart;
  chart.title = title;
  chart.x_title = "load: arriving work over what the nodes can do";
  chart.y_title = y_title;
  chart.log_y = true;
  chart.height = 480;
  // The palette has seven colours: the two that come after them are dashed.
  for (const char* policy :
       {"none", "threshold", "symmetric", "best-of-d", "receiver", "shortest", "balanced", "random", "pairing"}) {
    Options options = options_of(policy);
    options.service = service;
    const auto load = [](Options& changed, double x) {
      changed.load = x;
      changed.jobs = x < 0.75 ? 20'000 : x < 0.85 ? 60'000 : 150'000;
    };
    chart.series.push_back(
        run_series(policy, options, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95}, load,
                   [figure](const Options& changed) { return simulate::simulate(changed).*figure; }));
    chart.series.back().dashed = chart.series.size() > 7;
  }
  return chart;
}

std::string draw_response() {
  return svg_page("64 equal nodes that share their processor; a job is frozen for 0.1 s to move it",
                  {chart_of_loads("Exponential jobs of 1 s", "mean response (s)", {}, &Result::mean_response),
                   chart_of_loads("Jobs with a heavy tail (Pareto, alpha 1, 1 to 1000 s)", "mean slowdown",
                                  simulate::ServiceTime::parse("pareto:1,1,1000"), &Result::mean_slowdown)});
}

std::string draw_staleness() {
  SvgChart chart;
  chart.title = "100 nodes, one job after the other, load 0.9: what an old table does";
  chart.x_title = "seconds from one table to the next (a job is 1 s of work on average)";
  chart.y_title = "mean response (s)";
  chart.log_x = chart.log_y = true;
  chart.width = 720;
  const auto add = [&](const char* name, const char* policy, int choices) {
    Options options = options_of(policy);
    options.nodes = 100;
    options.discipline = simulate::Discipline::Fcfs;
    options.round = 0;
    options.jobs = 150'000;
    options.policy.choices = choices;
    options.policy.migrate = false;
    chart.series.push_back(run_series(
        name, options, {0.1, 0.2, 0.5, 1, 2, 5, 10, 20},
        [](Options& changed, double age) { changed.age_of_table = age; },
        [](const Options& changed) { return simulate::simulate(changed).mean_response; }));
  };
  add("the least loaded of the table", "best-of-d", 100);
  add("the best of two random nodes of the table", "best-of-d", 2);
  add("the best of five", "best-of-d", 5);
  add("balanced without migration: asked first, and FREE nodes tell", "balanced", 2);
  chart.series.push_back({"any node, without a table (theory)", {{0.1, 10}, {20, 10}}, true});
  return svg_chart(chart);
}

double makespan_over_bound(Options options) {
  constexpr int kSeeds = 50;
  double sum = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    options.seed = static_cast<std::uint64_t>(seed);
    const Result result = simulate::simulate(options);
    sum += result.makespan / result.makespan_lower_bound;
  }
  return sum / kSeeds;
}

struct Contender {
  const char *name, *policy;
  bool migrate;
};

SvgChart chart_of_slow_nodes(const std::string& title, std::initializer_list<Contender> contenders) {
  SvgChart chart;
  chart.title = title;
  chart.x_title = "how many times slower the slow half is";
  chart.y_title = "time until all have ended, over the least possible";
  chart.log_x = true;
  chart.y_from_zero = false;
  chart.width = 560;
  for (const auto& [name, policy, migrate] : contenders) {
    Options options = options_of(policy);
    options.service = simulate::ServiceTime::parse("pareto:1,1,1000");
    options.batch = true;
    options.jobs = 640;
    options.policy.migrate = migrate;
    const auto slower = [](Options& changed, double times) { changed.speeds = {1, 1 / times}; };
    chart.series.push_back(run_series(name, options, {1, 1.5, 2, 3, 4, 6, 8, 10}, slower, makespan_over_bound));
  }
  return chart;
}

std::string draw_slow_nodes() {
  SvgChart placing = chart_of_slow_nodes("Jobs stay where they started", {{"none", "none", false},
                                                                          {"threshold", "threshold", false},
                                                                          {"best-of-d", "best-of-d", false},
                                                                          {"balanced", "balanced", false}});
  placing.series[1].dashed = true;  // it lies upon the first
  const SvgChart moving = chart_of_slow_nodes(
      "Running jobs move, at 0.1 s each",
      {{"symmetric", "symmetric", true}, {"pairing", "pairing", true}, {"balanced", "balanced", true}});
  return svg_page("640 jobs at once (Pareto, alpha 1, 1 to 1000 s) on 64 nodes, half of them slower",
                  {placing, moving});
}

constexpr std::array kFigures{
    PolicyFigure{"response", "mean response and slowdown of each policy against the load", draw_response},
    PolicyFigure{"staleness", "how placing from an old table makes herds", draw_staleness},
    PolicyFigure{"slow-nodes", "how long a batch takes when half of the nodes are slow", draw_slow_nodes},
};

}  // namespace

std::span<const PolicyFigure> all_policy_figures() { return kFigures; }

}  // namespace drover
