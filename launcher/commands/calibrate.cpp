// drover calibrate: finds this node's watermarks by measuring. Needs no cluster.
#include "runtime/load/calibration/calibrate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/plot/calibration_chart.h"
#include "launcher/table.h"
#include "runtime/load/calibration/marks.h"

namespace drover {

namespace {

struct CalibrateOptions {
  CalibrationOptions measure;
  double low_percent = 5, high_percent = 25, memory_percent = 85;
  bool show = false;
  std::string plot;
  Output output;
};

Calibration measure(const CalibrateOptions& options, const std::string& path) {
  CalibrationOptions wanted = options.measure;
  wanted.low_slowdown = options.low_percent / 100;
  wanted.high_slowdown = options.high_percent / 100;
  wanted.memory_share = options.memory_percent / 100;
  const Interruptible wait;
  fmt::print(stderr, "Measuring for about {}; other programs disturb it. Ctrl-C ends it and stores nothing.\n",
             wanted.quick ? "20 s" : "90 s");
  Calibration calibration =
      calibrate(wanted, wait, [](const std::string& line) { fmt::print(stderr, "  {}\n", line); });
  wait.sleep(std::chrono::nanoseconds::zero());  // the last moment to change one's mind
  store_calibration(calibration, path);
  return calibration;
}

Calibration stored(const std::string& path) {
  auto calibration = load_calibration(path);
  if (!calibration) throw std::runtime_error(fmt::format("{}: not calibrated yet; run: drover calibrate", path));
  return *calibration;
}

void write_plot(const Calibration& calibration, const std::string& file) {
  std::ofstream out(file, std::ios::binary);
  out << calibration_svg(calibration);
  out.close();
  if (!out)
    throw std::runtime_error(fmt::format("--plot {}: can't be written; give a file in an existing folder", file));
}

void print_calibration(const Calibration& calibration, const std::string& path) {
  using A = Table::Align;
  const NodeMarks marks = choose_marks(calibration.capacity, false, calibration, "", "");
  Table table({{"FACTOR"}, {"LOW", A::Right}, {"HIGH", A::Right}, {"WEIGHT", A::Right}, {"VERDICT"}, {"WHY"}});
  for (const FactorCalibration& factor : calibration.factors) {
    const Watermark& mark = marks.marks[factor.factor];
    table.add({std::string(factor_name(factor.factor)), format_figure(mark.low), format_figure(mark.high),
               fmt::format("{:g}", mark.weight), std::string(verdict_name(factor.verdict)),
               factor.reason.empty() ? fmt::format("by {}", factor.load) : factor.reason});
  }
  table.print();
  fmt::print("\n{}: {}, {} PUs, {}, Linux {}; speed {:.2f}; calibrated {}{}\n{}\n", calibration.host,
             calibration.machine.cpu_model, calibration.machine.pus,
             format_kib(static_cast<double>(calibration.machine.memory_kib)), calibration.machine.kernel,
             calibration.speed, calibration.date, calibration.quick ? " (quick)" : "", path);
}

int run(const CalibrateOptions& options) {
  if (options.low_percent > options.high_percent)
    throw UsageError(fmt::format("calibrate: --low {:g} is above --high {:g}; give a smaller one", options.low_percent,
                                 options.high_percent));
  const std::string path = calibration_path(calibration_host());
  Calibration calibration;
  try {
    calibration = options.show ? stored(path) : measure(options, path);
  } catch (const Interrupted& interrupted) {
    fmt::print(stderr, "drover: calibrate: interrupted; nothing is stored\n");
    return 128 + interrupted.signal;
  }
  if (!options.plot.empty()) write_plot(calibration, options.plot);
  if (options.output.json())
    Output::print_json(Json::parse(calibration_json(calibration)));
  else if (options.output.quiet())
    fmt::print("{}\n", path);
  else
    print_calibration(calibration, path);
  if (options.show) {
    const std::string difference = identity_difference(calibration.machine, this_machine());
    if (!difference.empty())
      fmt::print(stderr, "drover: warning: droverd will not use this: {}; run: drover calibrate\n", difference);
  } else {
    fmt::print(stderr, "A droverd that starts now uses it: drover nodes --watermarks\n");
  }
  return 0;
}

}  // namespace

void add_calibrate(CLI::App& app, Context& context) {
  auto options = std::make_shared<CalibrateOptions>();
  options->measure.directory = "/var/tmp";
  CLI::App* command = app.add_subcommand("calibrate", "Find this machine's watermarks by measuring; needs no cluster");
  auto* quick = command->add_flag("--quick", options->measure.quick, "About 20 s: fewer steps, coarser watermarks");
  auto* low =
      command->add_option("--low", options->low_percent, "Below the low watermark a program slows by less, in %")
          ->type_name("PERCENT")
          ->check(CLI::Range(0.1, 1000.0))
          ->capture_default_str();
  auto* high =
      command->add_option("--high", options->high_percent, "Above the high watermark a program slows by more, in %")
          ->type_name("PERCENT")
          ->check(CLI::Range(0.1, 1000.0))
          ->capture_default_str();
  auto* directory = command
                        ->add_option("--directory", options->measure.directory,
                                     "Measure the disk of this folder (140 MiB, gone at the end)")
                        ->type_name("DIR")
                        ->check(CLI::ExistingDirectory)
                        ->capture_default_str();
  auto* memory =
      command->add_option("--memory", options->memory_percent, "Fill at most so much of the free memory, in %")
          ->type_name("PERCENT")
          ->check(CLI::Range(0.0, 95.0))
          ->capture_default_str();
  auto* show = command->add_flag("--show", options->show, "Print what is stored, without measuring");
  for (auto* option : {quick, low, high, directory, memory}) show->excludes(option);
  command->add_option("--plot", options->plot, "Draw the curves into this file, as SVG")->type_name("FILE");
  options->output.add_to(*command);
  command->footer(
      "Load programs raise each factor step by step while a probe runs beside them. Use it on an idle machine.\n"
      "Stored in $XDG_CONFIG_HOME/drover/calibration/HOST.json, else below ~/.config.\n"
      "Examples: drover calibrate --quick;  drover calibrate --show");
  command->callback([&context, options] { context.exit_code = run(*options); });
}

}  // namespace drover
