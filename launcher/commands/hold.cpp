// drover hold, release: jobs stand still, or don't start, until they are let go on.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>

#include "launcher/commands/commands.h"
#include "launcher/selector.h"

namespace drover {

namespace {

// With `all` those that are as they should be, or have ended meanwhile, are none of one's mistakes.
bool is_no_matter(const RequestError& error) {
  return error.code() == "conflict" || error.code() == "refused" || error.code() == "no-such-job";
}

struct HoldOptions : SelectorOptions {
  std::string reason;
};

int hold_jobs(const Context& context, const HoldOptions& options, bool on) {
  const char* const name = on ? "hold" : "release";
  const JobSelector selector = options.selector();
  if (selector.empty())
    throw UsageError(
        fmt::format("{0}: no job given; write its id, last, all, --name or --state; see drover {0} --help", name));
  const bool all = selector.has(JobSelector::Kind::All);
  const std::vector<long> jobs = selected_ids(context, selector, Scope::Unfinished);
  if (jobs.empty() && !all) throw_no_job(selector);
  int exit_code = 0;
  for (const long job : jobs) try {  // a connection carries one request
      context.connect().request({{"op", "hold"}, {"job", job}, {"set", on}, {"reason", options.reason}});
    } catch (const RequestError& error) {
      if (all && is_no_matter(error)) continue;
      print_error(error.what());
      exit_code = std::max(exit_code, error.exit_code(1));
    }
  return exit_code;
}

CLI::App* add(CLI::App& app, Context& context, const char* name, const char* what, bool on) {
  auto options = std::make_shared<HoldOptions>();
  CLI::App* command = app.add_subcommand(name, what);
  options->add_to(*command, "Which jobs");
  if (on) command->add_option("--reason", options->reason, "Shown as why they are held")->type_name("TEXT");
  command->callback([&context, options, on] { context.exit_code = hold_jobs(context, *options, on); });
  return command;
}

}  // namespace

void add_hold(CLI::App& app, Context& context) {
  add(app, context, "hold", "Stop jobs where they are, or keep them from starting, until drover release", true)
      ->footer(
          "Signals other than KILL reach a held job when it is released, and its time limit waits.\n"
          "Examples: drover hold 7 --reason 'wrong input';  drover hold all --name 'make-*'");
}

void add_release(CLI::App& app, Context& context) {
  add(app, context, "release", "Let held jobs go on, or start", false)
      ->footer("Examples: drover release 7;  drover release --state held");
}

}  // namespace drover
