// drover ps: the jobs, where they are, and why.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/job_text.h"
#include "launcher/selector.h"
#include "launcher/table.h"

namespace drover {

namespace {

struct PsOptions {
  SelectorOptions selector;
  bool all = false;
  Output output;
};

void print_table(const std::vector<Json>& jobs) {
  using A = Table::Align;
  Table table({{"JOB", A::Right},
               {"STATE", A::Left, state_colour},
               {"NODE"},
               {"ORIGIN"},
               {"TIME", A::Right},
               {"CPU", A::Right},
               {"MEMORY", A::Right},
               {"MOVES", A::Right},
               {"FROZEN", A::Right},
               {"NAME"},
               {"WHY"},
               {"COMMAND"}});
  for (const Json& job : jobs)
    table.add({fmt::format("{}", job_id(job)), state_text(job), job.value("node", ""), job.value("origin", ""),
               format_seconds(run_seconds(job)), format_seconds(job.value("cpu_seconds", 0.0)),
               format_kib(job.value("memory_kib", 0.0)), fmt::format("{}", job.value("moves", 0)),
               fmt::format("{:.1f} ms", job.value("frozen_ms", 0.0)), name_text(job), why_text(job),
               command_text(job)});
  table.print();
}

void ps(const Context& context, const PsOptions& options) {
  const Scope scope = options.all ? Scope::Everything : Scope::Unfinished;
  std::vector<Json> jobs = selected_jobs(context, options.selector.selector(), scope);
  std::sort(jobs.begin(), jobs.end(), [](const Json& a, const Json& b) { return job_id(a) < job_id(b); });
  if (options.output.json()) return Output::print_json(jobs);
  if (options.output.quiet()) return print_ids(jobs);
  print_table(jobs);
}

}  // namespace

void add_ps(CLI::App& app, Context& context) {
  auto options = std::make_shared<PsOptions>();
  CLI::App* command = app.add_subcommand("ps", "List jobs: state, place, origin, CPU time, moves, and why");
  options->selector.add_to(*command, "Which jobs (default: all that have not ended)");
  command->add_flag("-a,--all", options->all, "Ended ones too");
  options->output.add_to(*command);
  command->footer("Examples: drover ps last;  drover ps --state running,moving --name 'make-*'");
  command->callback([&context, options] { ps(context, *options); });
}

}  // namespace drover
