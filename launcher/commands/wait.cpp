// drover wait: until jobs have ended. Its exit code is that of the last one named, as the shell's wait has it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/job_text.h"
#include "launcher/selector.h"

namespace drover {

namespace {

int wait_for_jobs(const Context& context, const SelectorOptions& options, const Output& output) {
  const std::vector<long> jobs = selected_ids(context, options.selector(), Scope::Unfinished);
  Json ended = Json::array();
  if (!jobs.empty()) ended = context.connect().request({{"op", "wait"}, {"jobs", jobs}}).at("jobs");
  if (output.json()) Output::print_json(ended);
  if (output.quiet()) print_ids(ended);
  int exit_code = 0;
  for (const Json& job : ended) {
    const bool lost = job.value("state", "") != "ended";
    if (lost) print_error(fmt::format("job {}: {}: {}", job_id(job), job.value("state", ""), job.value("error", "")));
    if (job_id(job) == jobs.back()) exit_code = lost ? 125 : job.value("exit", 0);
  }
  return exit_code;
}

}  // namespace

void add_wait(CLI::App& app, Context& context) {
  auto selector = std::make_shared<SelectorOptions>();
  auto output = std::make_shared<Output>();
  CLI::App* command = app.add_subcommand("wait", "Wait until jobs have ended; exits as the last one named did");
  selector->add_to(*command, "Which jobs (default: all that have not ended)");
  output->add_to(*command);
  command->footer(
      "Examples: drover wait 7;  drover wait 3-9 && echo 9 ended well;  drover wait --name 'make-*' -o quiet\n"
      "Where no job is left to wait for, it is over at once, with exit code 0.");
  command->callback([&context, selector, output] { context.exit_code = wait_for_jobs(context, *selector, *output); });
}

}  // namespace drover
