#include "runtime/simulate/simulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <queue>
#include <stdexcept>

#include "runtime/simulate/cluster.h"
#include "runtime/simulate/statistics.h"

namespace drover::simulate {

namespace {

enum class EventKind : std::uint8_t { Ended, Moved, NewTable, Round };

struct Event {
  double time;
  std::uint64_t order;  // of two at one time the earlier made
  EventKind kind;
  int node;
  std::uint64_t stamp;  // Ended: of the station as it was; Moved: the move
  bool operator<(const Event& other) const { return time != other.time ? time > other.time : order > other.order; }
};

void check(const Options& options) {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
  };
  require(options.nodes >= 1 && options.nodes <= 100'000, "the number of nodes must be from 1 to 100000");
  require(!options.speeds.empty(), "there must be at least one speed");
  for (const double speed : options.speeds) require(speed > 0 && std::isfinite(speed), "a speed must be more than 0");
  require(options.batch || !options.trace.empty() || (options.load > 0 && options.load < 1),
          "the load must be more than 0 and less than 1");
  require(options.jobs >= 1 && options.jobs <= 100'000'000, "the number of jobs must be from 1 to 100000000");
  require(options.cost >= 0 && options.round >= 0 && options.age_of_table >= 0 && options.threshold > 0,
          "cost, round and age of the table can't be negative, and the threshold must be more than 0");
}

class Simulation {
 public:
  explicit Simulation(const Options& options);
  Result run();

 private:
  struct Job {
    double arrived, work;
  };

  std::optional<Arrival> next_arrival();
  void arrive(const Arrival& arrival);
  void handle(const Event& event);
  void ended(int node);
  void push(double time, EventKind kind, int node, std::uint64_t stamp) {
    events_.push({time, order_++, kind, node, stamp});
  }
  void touched(int node) {
    if (const double end = cluster_.station(node).next_end(); std::isfinite(end))
      push(end, EventKind::Ended, node, cluster_.stamp(node));
  }
  void start_moves(std::vector<Move> moves);
  Result report();
  void report_sharing(Result& result) const;

  const Options& options_;
  Cluster cluster_;
  Workload workload_;
  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0, arrived_ = 0;
  double now_ = 0, last_end_ = 0;
  std::vector<Job> jobs_;
  std::vector<float> responses_, slowdowns_;
  std::vector<Move> moving_;
  std::vector<std::size_t> free_moves_;
  std::size_t underway_ = 0;
};

double total_rate(const Options& options) {
  double speed = 0;
  for (int i = 0; i < options.nodes; ++i) speed += options.speeds[static_cast<std::size_t>(i) % options.speeds.size()];
  return options.load * speed / options.service.mean();
}

Simulation::Simulation(const Options& options)
    : options_(options),
      cluster_(options),
      workload_(options.arrivals, options.service, total_rate(options), options.nodes, options.seed) {
  const std::size_t count = options.trace.empty() ? options.jobs : options.trace.size();
  jobs_.reserve(count);
  responses_.assign(count, 0);
  slowdowns_.assign(count, 0);
  if (options.age_of_table > 0) push(options.age_of_table, EventKind::NewTable, 0, 0);
  if (options.round > 0) push(options.round, EventKind::Round, 0, 0);
}

std::optional<Arrival> Simulation::next_arrival() {
  if (arrived_ == responses_.size()) return std::nullopt;
  Arrival arrival = options_.trace.empty() ? workload_.next() : options_.trace[arrived_];
  if (options_.batch) arrival.time = 0;
  ++arrived_;
  return arrival;
}

void Simulation::arrive(const Arrival& arrival) {
  jobs_.push_back({arrival.time, arrival.work});
  const int node = cluster_.arrive(static_cast<std::int64_t>(jobs_.size()) - 1, arrival, now_);
  touched(node);
}

void Simulation::start_moves(std::vector<Move> moves) {
  for (Move& move : moves) {
    touched(move.from);
    std::size_t slot = moving_.size();
    if (free_moves_.empty()) {
      moving_.push_back(move);
    } else {
      slot = free_moves_.back();
      free_moves_.pop_back();
      moving_[slot] = move;
    }
    push(now_ + move.cost, EventKind::Moved, move.to, slot);
  }
}

void Simulation::ended(int node) {
  Station& station = cluster_.station(node);
  station.advance(now_);
  const Resident resident = station.take_ended();
  cluster_.changed(node, now_);
  const Job& job = jobs_[static_cast<std::size_t>(resident.job)];
  const double response = now_ - job.arrived;
  responses_[static_cast<std::size_t>(resident.job)] = static_cast<float>(response);
  slowdowns_[static_cast<std::size_t>(resident.job)] = static_cast<float>(response / job.work);
  last_end_ = now_;
  --underway_;
  touched(node);
  start_moves(cluster_.pull(node, now_, true));
}

void Simulation::handle(const Event& event) {
  switch (event.kind) {
    case EventKind::Ended:
      if (event.stamp == cluster_.stamp(event.node)) ended(event.node);
      break;
    case EventKind::Moved: {
      const Move move = moving_[event.stamp];
      free_moves_.push_back(event.stamp);
      cluster_.finish(move, now_);
      touched(move.to);
      break;
    }
    case EventKind::NewTable:
      cluster_.share_table(now_);
      push(now_ + options_.age_of_table, EventKind::NewTable, 0, 0);
      break;
    case EventKind::Round:
      start_moves(cluster_.pair(now_));
      for (int node = 0; node < cluster_.size(); ++node) start_moves(cluster_.pull(node, now_, false));
      push(now_ + options_.round, EventKind::Round, 0, 0);
      break;
  }
}

Result Simulation::run() {
  auto arrival = next_arrival();
  while (arrival || underway_ > 0) {
    const bool first = arrival && (events_.empty() || arrival->time <= events_.top().time);
    if (first) {
      now_ = arrival->time;
      ++underway_;
      arrive(*arrival);
      arrival = next_arrival();
      continue;
    }
    const Event event = events_.top();
    events_.pop();
    now_ = event.time;
    handle(event);
  }
  return report();
}

Result Simulation::report() {
  Result result;
  const std::size_t skipped = options_.batch || !options_.trace.empty() ? 0 : responses_.size() / 10;
  const auto measured = [skipped](const std::vector<float>& all) { return std::span(all).subspan(skipped); };
  const Interval response = batch_means(measured(responses_)), slowdown = batch_means(measured(slowdowns_));
  result.jobs = responses_.size() - skipped;
  result.mean_response = response.mean;
  result.confidence_95 = response.half_width_95;
  result.mean_slowdown = slowdown.mean;
  result.slowdown_confidence_95 = slowdown.half_width_95;
  std::vector<float> rest(slowdowns_.begin() + static_cast<std::ptrdiff_t>(skipped), slowdowns_.end());
  result.p99_slowdown = quantile(rest, 0.99);
  const Counts& counts = cluster_.counts();
  result.utilization = last_end_ > 0 ? cluster_.busy_seconds() / (last_end_ * cluster_.processors()) : 0;
  result.probes_per_job = static_cast<double>(counts.probes) / static_cast<double>(responses_.size());
  result.announcements = counts.announcements;
  result.mean_age = counts.ages > 0 ? counts.sum_of_ages / static_cast<double>(counts.ages) : 0;
  result.worst_age = counts.worst_age;
  report_sharing(result);
  result.placements = counts.placements;
  result.migrations = counts.migrations;
  result.makespan = last_end_;
  if (options_.batch) {
    std::vector<double> work, speeds;
    for (const Job& job : jobs_) work.push_back(job.work);
    for (int i = 0; i < options_.nodes; ++i)
      speeds.push_back(options_.speeds[static_cast<std::size_t>(i) % options_.speeds.size()]);
    result.makespan_lower_bound = makespan_lower_bound(std::move(work), std::move(speeds));
  }
  return result;
}

void Simulation::report_sharing(Result& result) const {
  const GroupLayout& layout = cluster_.layout();
  result.groups = layout.groups;
  result.exchange = exchange_cost(layout);
  if (options_.age_of_table <= 0 || last_end_ <= 0) return;
  // While jobs arrive: afterwards there is less and less to announce.
  const double span = jobs_.back().arrived > 0 ? jobs_.back().arrived : last_end_;
  const double rounds = span / options_.age_of_table, told = static_cast<double>(layout.size) / layout.groups - 1;
  result.announcement_messages_per_node =
      static_cast<double>(cluster_.counts().announcements) * told / (rounds * layout.size);
}

}  // namespace

Result simulate(const Options& options) {
  check(options);
  return Simulation(options).run();
}

}  // namespace drover::simulate
