#include "runtime/simulate/workload.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace drover::simulate {

ServiceTime ServiceTime::parse(const std::string& text) {
  ServiceTime service;
  if (text == "exp") return service;
  service.kind_ = Kind::Deterministic;
  if (text == "det") return service;
  service.kind_ = Kind::Pareto;
  char rest = 0;
  const int read =
      std::sscanf(text.c_str(), "pareto:%lf,%lf,%lf%c", &service.alpha_, &service.least_, &service.most_, &rest);
  if (read != 3 || !(service.alpha_ > 0) || !(service.least_ > 0) || !(service.most_ > service.least_) ||
      !std::isfinite(service.most_) || !std::isfinite(service.alpha_))
    throw std::invalid_argument(
        fmt::format("service time '{}': must be exp, det or pareto:ALPHA,MIN,MAX with 0 < ALPHA, 0 < MIN < MAX", text));
  return service;
}

// The inverse of F(x) = (1 - (min/x)^a) / (1 - (min/max)^a).
static double draw_pareto(double alpha, double least, double most, double u) {
  const double tail = 1 - std::pow(least / most, alpha);
  return least / std::pow(1 - u * tail, 1 / alpha);
}

double ServiceTime::draw(Random& random) const {
  switch (kind_) {
    case Kind::Exponential:
      return -std::log1p(-random.uniform());
    case Kind::Deterministic:
      return 1;
    case Kind::Pareto:
      return draw_pareto(alpha_, least_, most_, random.uniform());
  }
  return 1;
}

double ServiceTime::mean() const {
  if (kind_ != Kind::Pareto) return 1;
  const double tail = 1 - std::pow(least_ / most_, alpha_);
  if (std::abs(alpha_ - 1) < 1e-9) return least_ * std::log(most_ / least_) / tail;
  return alpha_ * std::pow(least_, alpha_) / (1 - alpha_) *
         (std::pow(most_, 1 - alpha_) - std::pow(least_, 1 - alpha_)) / tail;
}

std::optional<Arrivals> find_arrivals(const std::string& name) {
  if (name == "poisson") return Arrivals::Poisson;
  if (name == "bursty") return Arrivals::Bursty;
  if (name == "at-one-node") return Arrivals::AtOneNode;
  return std::nullopt;
}

Arrival Workload::next() {
  constexpr double kMeanBurst = 10;
  Arrival arrival;
  const auto any_node = [&] { return static_cast<int>(random_.below(static_cast<std::uint64_t>(nodes_))); };
  const auto wait = [&](double rate) { now_ += -std::log1p(-random_.uniform()) / rate; };
  if (arrivals_ != Arrivals::Bursty) {
    wait(rate_);
    arrival.node = arrivals_ == Arrivals::AtOneNode ? 0 : any_node();
  } else {
    if (burst_left_ == 0) {
      wait(rate_ / kMeanBurst);
      burst_node_ = any_node();
      burst_left_ = 1 + static_cast<std::uint64_t>(std::log1p(-random_.uniform()) / std::log1p(-1 / kMeanBurst));
    }
    --burst_left_;
    arrival.node = burst_node_;
  }
  arrival.time = now_;
  arrival.work = service_.draw(random_);
  return arrival;
}

namespace {

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line.substr(0, line.find('#')));
  return {std::istream_iterator<std::string>(stream), {}};
}

// The whole word, or nothing.
std::optional<double> number_in(const std::string& word) {
  char* end = nullptr;
  const double number = std::strtod(word.c_str(), &end);
  return *end == '\0' ? std::optional(number) : std::nullopt;
}

std::optional<int> integer_in(const std::string& word) {
  int number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return error == std::errc{} && end == word.data() + word.size() ? std::optional(number) : std::nullopt;
}

// Throws std::invalid_argument with what is wrong with it.
Arrival parse_job(const std::vector<std::string>& words, double not_before, int node, int nodes) {
  const auto time = number_in(words[0]);
  const auto work = words.size() >= 2 ? number_in(words[1]) : std::nullopt;
  if (!time || !work || words.size() > 3) throw std::invalid_argument("must be ARRIVAL-SECONDS WORK-SECONDS [NODE]");
  if (!(*work > 0) || !std::isfinite(*work)) throw std::invalid_argument("the work must be more than 0 seconds");
  if (!(*time >= not_before) || !std::isfinite(*time))
    throw std::invalid_argument("arrivals must be in order, from 0 seconds on");
  if (words.size() == 3) {
    const auto number = integer_in(words[2]);
    if (!number) throw std::invalid_argument("the node must be a number");
    node = *number;
  }
  if (node < 0 || node >= nodes) throw std::invalid_argument("there is no node of that number (see --nodes)");
  return {*time, *work, node};
}

}  // namespace

std::vector<Arrival> parse_trace(const std::string& text, const std::string& name, int nodes) {
  if (nodes < 1) throw std::invalid_argument("the number of nodes must be at least 1");
  std::vector<Arrival> jobs;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto words = words_of(line);
    if (words.empty()) continue;
    const int in_turn = static_cast<int>(jobs.size() % static_cast<std::size_t>(nodes));
    try {
      jobs.push_back(parse_job(words, jobs.empty() ? 0 : jobs.back().time, in_turn, nodes));
    } catch (const std::invalid_argument& why) {
      throw std::invalid_argument(fmt::format("{}:{}: {}", name, number, why.what()));
    }
  }
  if (jobs.empty()) throw std::invalid_argument(name + ": no jobs in it");
  return jobs;
}

}  // namespace drover::simulate
