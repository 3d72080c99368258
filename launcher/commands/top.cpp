// drover top: nodes, jobs and what happens to them, live.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/table.h"
#include "launcher/top/feed.h"
#include "launcher/top/layout.h"
#include "launcher/top/session.h"

namespace drover {

namespace {

struct TopOptions {
  double interval_seconds = 1;
  bool once = false;
  Output output;
};

std::string instance_name() {
  const InstancePaths paths = instance_paths();
  return paths.runtime.substr(paths.runtime.rfind('/') + 1);
}

void print_json(const Context& context) {
  Json nodes = context.connect().request({{"op", "nodes"}}).at("nodes");
  Json jobs = context.connect().request({{"op", "ps"}, {"all", false}}).at("jobs");
  Output::print_json({{"nodes", std::move(nodes)}, {"jobs", std::move(jobs)}});
}

int show(const Context& context, const TopOptions& options) {
  const auto connect = [&context] { return context.connect(); };
  if (options.output.json()) {
    print_json(context);
    return 0;
  }
  const bool on_terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (on_terminal && !options.once) return top::run_session(connect, {options.interval_seconds, instance_name()});
  fmt::print("{}", top::snapshot_text(top::ask_once(connect, instance_name()), look_of_stdout().width));
  return 0;
}

}  // namespace

void add_top(CLI::App& app, Context& context) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* command = app.add_subcommand("top", "Watch nodes and jobs, and move, kill and drain by a key");
  command->add_option("-i,--interval", options->interval_seconds, "Seconds between two looks, 0.1 to 3600")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  command->add_flag("-b,--once", options->once, "Print what there is now, as plain text (so does a pipe)");
  options->output.add_to(*command);
  command->footer("In it, ? lists the keys.\nExamples: drover top;  drover top --once | mail -s load me");
  command->callback([&context, options] { context.exit_code = show(context, *options); });
}

}  // namespace drover
