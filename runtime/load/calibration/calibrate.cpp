#include "runtime/load/calibration/calibrate.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "ckpt/sys/error.h"
#include "runtime/load/cgroup.h"
#include "runtime/load/sampler.h"

namespace drover {

namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Say = std::function<void(const std::string&)>;

constexpr auto kLongestFilling = std::chrono::seconds(5);  // of memory: then it goes on with what it has
constexpr auto kLongestStart = std::chrono::seconds(2);    // of a probe, until its first unit of work
constexpr double kSameSpeed = 1.15;                        // of the unloaded probe before and after the steps
constexpr int kRetries = 3;                                // of disturbed experiments, in all; one each
constexpr double kStopped = 1000;                          // the slowdown of a probe that did nothing at all

struct Timing {
  milliseconds settle, between_samples, warm_up, window;
  int samples, repeats;
};
constexpr Timing kThorough = {milliseconds(150), milliseconds(100), milliseconds(40), milliseconds(180), 5, 5};
constexpr Timing kQuick = {milliseconds(50), milliseconds(50), milliseconds(20), milliseconds(60), 3, 3};

double counted(const Experiment& experiment, const std::vector<double>& rates) {
  return experiment.count == Count::Median ? median(rates) : *std::max_element(rates.begin(), rates.end());
}

// Only others can slow a probe without load: the fastest is right, but for one that was lucky.
double unloaded_rate(std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  return rates.size() < 3 ? rates.back() : rates[rates.size() - 2];
}

double slowdown(double unloaded, double rate) { return rate > 0 ? std::max(0.0, unloaded / rate - 1) : kStopped; }

// The share of the machine's CPU time that others may use: beside more of them a curve says little.
double most_others(const Experiment& experiment) { return experiment.count == Count::Median ? 0.25 : 0.6; }

// Returns ", run_queue 0.5, ...".
std::string add_point(std::vector<FactorCalibration>& factors, double level, const LoadSample& sample,
                      double others_limit) {
  std::string values;
  const auto others = static_cast<double>(sample.factors[static_cast<std::size_t>(Factor::CpuShare)]);
  for (FactorCalibration& factor : factors) {
    const auto index = static_cast<std::size_t>(factor.factor);
    if (level == 0 && others > others_limit) {
      factor.verdict = Verdict::Undecided;
      factor.reason = fmt::format("others used {:.0f} % of this machine; calibrate when it is idle", 100 * others);
    }
    if ((sample.known >> index & 1U) == 0) {
      factor.verdict = Verdict::Impossible;
      factor.reason = "the kernel does not tell it";
    }
    factor.curve.push_back({level, static_cast<double>(sample.factors[index]), 0});
    values += fmt::format(", {} {:.4g}", factor_name(factor.factor), factor.curve.back().value);
  }
  return values;
}

// A probe that can't run, or whose own speed changed while the steps were taken, says nothing about them.
void check_base(std::vector<FactorCalibration>& factors, double before, double after) {
  for (FactorCalibration& factor : factors) {
    if (std::min(before, after) <= 0) {
      factor.verdict = Verdict::Impossible;
      factor.reason = "the probe could not run";
    } else if (factor.reason.empty() && std::max(before, after) > kSameSpeed * std::min(before, after)) {
      factor.verdict = Verdict::Undecided;
      factor.reason = fmt::format(
          "without load the probe ran at {:.0f}, later at {:.0f} units/s; calibrate when the machine is idle", before,
          after);
    }
  }
}

class Bench {
 public:
  Bench(const CalibrationOptions& options, const Share& share, const Interruptible& wait)
      : share_(share), wait_(wait), timing_(options.quick ? kQuick : kThorough) {}

  std::vector<FactorCalibration> run(Experiment& experiment, const Say& say);
  // Work per second of CPU time, of the last experiment's probes: who else is on this machine matters little.
  double work_per_cpu_second() const { return work_per_cpu_second_; }

 private:
  std::vector<double> probe_rates(const Experiment&);
  LoadSample mean_sample();
  void wait_until_settled(const Experiment&, LoadPrograms&);

  const Share& share_;
  const Interruptible& wait_;
  const Timing timing_;
  double work_per_cpu_second_ = 0;
};

std::vector<double> Bench::probe_rates(const Experiment& experiment) {
  const SharedCounter work;
  const LoadProgram probe([&] { experiment.probe(work.get()); });
  const auto ready_until = Clock::now() + kLongestStart;
  while (work.get() == 0 && Clock::now() < ready_until) wait_.sleep(milliseconds(5));
  wait_.sleep(timing_.warm_up);
  std::vector<double> rates;
  for (int i = 0; i < timing_.repeats; ++i) {
    const std::uint64_t before = work.get();
    const double cpu_before = probe.cpu_seconds();
    const auto begin = Clock::now();
    wait_.sleep(timing_.window);
    const std::chrono::duration<double> took = Clock::now() - begin;
    const auto done = static_cast<double>(work.get() - before);
    rates.push_back(done / took.count());
    if (const double cpu = probe.cpu_seconds() - cpu_before; cpu > 0)
      work_per_cpu_second_ = std::max(work_per_cpu_second_, done / cpu);
  }
  return rates;
}

// The mean of several samples, each since the one before: a run queue is a momentary thing on some kernels.
LoadSample Bench::mean_sample() {
  LoadSampler sampler(share_, false);
  LoadSample mean;
  for (int i = 0; i <= timing_.samples; ++i) {
    const auto now = static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
    const LoadSample sample = sampler.sample(now, now, {});
    if (i == 0) {
      wait_.sleep(timing_.between_samples);
      continue;  // no rates yet
    }
    mean.known = sample.known;
    for (std::size_t f = 0; f < kFactors; ++f)
      mean.factors[f] += sample.factors[f] / static_cast<float>(timing_.samples);
    if (i < timing_.samples) wait_.sleep(timing_.between_samples);
  }
  return mean;
}

void Bench::wait_until_settled(const Experiment& experiment, LoadPrograms& programs) {
  const auto end = Clock::now() + kLongestFilling;
  const auto all_alive = [&] {
    return std::all_of(programs.begin(), programs.end(), [](LoadProgram& program) { return program.alive(); });
  };
  if (experiment.settled) {
    while (!experiment.settled(false) && Clock::now() < end && all_alive()) wait_.sleep(milliseconds(20));
    experiment.settled(true);
  }
  wait_.sleep(timing_.settle);
}

std::vector<FactorCalibration> Bench::run(Experiment& experiment, const Say& say) {
  std::vector<FactorCalibration> out;
  for (const Factor factor : experiment.factors)
    out.push_back({.factor = factor, .reason = {}, .load = experiment.load, .curve = {}});
  const std::string reason = experiment.prepare ? experiment.prepare() : "";
  if (!reason.empty()) {
    for (FactorCalibration& factor : out) factor.reason = reason;
    return out;
  }
  work_per_cpu_second_ = 0;
  std::vector<double> unloaded, loaded;  // loaded: by level, from the second on
  for (const double level : experiment.levels) {
    LoadPrograms programs = experiment.start(level);
    wait_until_settled(experiment, programs);
    const std::string values = add_point(out, level, mean_sample(), most_others(experiment));
    const std::vector<double> rates = probe_rates(experiment);
    if (level == 0)
      unloaded = rates;
    else
      loaded.push_back(counted(experiment, rates));
    say(fmt::format("{} {:g}{}; probe {:.0f} % slower", experiment.load, level, values,
                    100 * slowdown(unloaded_rate(unloaded), counted(experiment, rates))));
  }
  experiment.start(0);
  const double before = unloaded_rate(unloaded), after = unloaded_rate(probe_rates(experiment));
  check_base(out, before, after);
  const double base = std::max(before, after);
  for (FactorCalibration& factor : out)
    for (std::size_t i = 0; i < loaded.size(); ++i) factor.curve[i + 1].slowdown = slowdown(base, loaded[i]);
  return out;
}

bool disturbed(const std::vector<FactorCalibration>& factors) {
  return std::any_of(factors.begin(), factors.end(),
                     [](const FactorCalibration& factor) { return factor.verdict == Verdict::Undecided; });
}

std::string describe(const FactorCalibration& factor) {
  return fmt::format("{}: {}: {}", factor_name(factor.factor),
                     factor.verdict == Verdict::Undecided ? "keeps its default" : "left out", factor.reason);
}

Share whole_host() {
  const Topology topology = Topology::load();
  Share share = deal(topology.core_pus(), topology.allowed(), 0, 1);
  if (const auto quota = cpu_quota()) share.capacity = std::min(share.capacity, *quota);
  return share;
}

}  // namespace

void judge(FactorCalibration& factor, const Watermark& fallback, double low_slowdown, double high_slowdown) {
  if (!factor.reason.empty()) return;
  if (const auto derived = derive_watermark(factor.curve, low_slowdown, high_slowdown)) {
    factor.verdict = Verdict::Measured;
    factor.low = derived->low;
    factor.high = derived->high;
    return;
  }
  double highest = 0;
  for (const CurvePoint& point : factor.curve) highest = std::max(highest, point.value);
  factor.verdict = highest > fallback.high ? Verdict::Harmless : Verdict::Undecided;
  factor.reason = factor.verdict == Verdict::Harmless
                      ? fmt::format("does not slow programs here, up to {:.4g}", highest)
                      : fmt::format("does not slow programs up to {:.4g}, more could not be reached", highest);
}

Calibration calibrate(const CalibrationOptions& options, const Interruptible& wait, const Say& say) {
  const Share share = whole_host();
  const Watermarks defaults = default_watermarks(share.capacity);
  Calibration out;
  out.host = calibration_host();
  out.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  out.machine = this_machine();
  out.capacity = share.capacity;
  out.low_slowdown = options.low_slowdown;
  out.high_slowdown = options.high_slowdown;
  out.quick = options.quick;
  Bench bench(options, share, wait);
  int retries = options.quick ? 0 : kRetries;
  std::vector<Experiment> plan = plan_experiments(options, share, wait);
  for (Experiment& experiment : plan) {
    std::vector<FactorCalibration> factors = bench.run(experiment, say);
    if (disturbed(factors) && retries-- > 0) {
      say(fmt::format("once more: {}", factors.front().reason));
      factors = bench.run(experiment, say);
    }
    for (FactorCalibration& factor : factors) {
      judge(factor, defaults[factor.factor], options.low_slowdown, options.high_slowdown);
      if (factor.verdict != Verdict::Measured) say(describe(factor));
      if (factor.factor == Factor::CpuShare)
        out.speed = std::max(1e-6, bench.work_per_cpu_second() / kReferenceWorkPerSecond);
      out.factors.push_back(std::move(factor));
    }
    experiment = {};  // its files and groups
  }
  return out;
}

}  // namespace drover
