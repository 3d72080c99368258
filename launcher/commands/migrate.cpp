// drover migrate: moves running jobs to a node, one after the other, and reports what each cost.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "launcher/commands/commands.h"
#include "launcher/selector.h"
#include "launcher/table.h"

namespace drover {

namespace {

struct MigrateOptions {
  std::string jobs;  // as other commands take them, in one word
  std::string node;
  Output output;
};

void print_report(const Json& report) {
  fmt::print("job {}: {} -> {}: frozen {:.1f} ms, image {}\n", report.value("job", 0L), report.value("from", ""),
             report.value("to", ""), report.value("frozen_ms", 0.0),
             format_kib(report.value("image_bytes", 0.0) / 1024));
  std::string phases;
  for (const auto& name : {"freeze", "dump", "send", "restore", "commit", "resume"})
    if (const auto found = report.find("phases_ms"); found != report.end() && found->contains(name))
      phases += fmt::format("{}{} {:.1f}", phases.empty() ? "" : ", ", name, found->value(name, 0.0));
  if (!phases.empty()) fmt::print("phases in ms: {}\n", phases);
}

// What happened, for one of them; one that is there already is as it is wanted. Throws RequestError if it was refused.
Json move_job(const Context& context, const MigrateOptions& options, const Json& job) {
  if (job.value("state", "") == "running" && job.value("node", "") == options.node) {
    if (options.output.quiet()) fmt::print("{}\n", job_id(job));
    if (options.output.table()) fmt::print("job {} is on {} already\n", job_id(job), options.node);
    return {{"job", job_id(job)}, {"from", options.node}, {"to", options.node}, {"ok", true}, {"reached", "already"}};
  }
  const Json reply = context.connect().request({{"op", "migrate"}, {"job", job_id(job)}, {"node", options.node}});
  const Json& report = reply.at("report");
  if (options.output.quiet() && report.value("ok", true)) fmt::print("{}\n", job_id(job));
  if (options.output.table()) print_report(report);
  if (!report.value("ok", true))
    fmt::print(stderr, "drover: job {}: not moved: {}; it runs on where it was\n", job_id(job),
               report.value("error", ""));
  return report;
}

bool means_one(const JobSelector& selector) {
  using Kind = JobSelector::Kind;
  return selector.terms.size() == 1 && (selector.terms[0].kind == Kind::Number || selector.terms[0].kind == Kind::Last);
}

int migrate(const Context& context, const MigrateOptions& options) {
  SelectorOptions words;
  words.words = {options.jobs};
  const JobSelector selector = words.selector();
  const std::vector<Json> jobs = selected_jobs(context, selector, Scope::Unfinished);
  if (means_one(selector)) {
    const Json report = move_job(context, options, jobs.at(0));
    if (options.output.json()) Output::print_json(report);
    return report.value("ok", true) ? 0 : 1;
  }
  int exit_code = 0;
  Json reports = Json::array();
  for (const Json& job : jobs) try {
      reports.push_back(move_job(context, options, job));
      if (!reports.back().value("ok", true)) exit_code = std::max(exit_code, 1);
    } catch (const RequestError& error) {
      print_error(error.what());
      exit_code = std::max(exit_code, error.exit_code(1));
    }
  if (options.output.json()) Output::print_json(reports);
  return exit_code;
}

}  // namespace

void add_migrate(CLI::App& app, Context& context) {
  auto options = std::make_shared<MigrateOptions>();
  CLI::App* command = app.add_subcommand("migrate", "Move running jobs to a node");
  command->add_option("JOB", options->jobs, "Which, one after the other: 7, 3-9,12, last, all")->required();
  command->add_option("NODE", options->node, "Where to")->required();
  options->output.add_to(*command);
  command->footer("Examples: drover migrate 7 node2;  drover migrate last node0");
  command->callback([&context, options] { context.exit_code = migrate(context, *options); });
}

}  // namespace drover
