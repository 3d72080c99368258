// drover migrate: moves a running job to a node, and reports what it cost.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/selector.h"
#include "launcher/table.h"

namespace drover {

namespace {

struct MigrateOptions {
  std::string job;
  std::string node;
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

}  // namespace

void add_migrate(CLI::App& app, Context& context) {
  auto options = std::make_shared<MigrateOptions>();
  auto output = std::make_shared<Output>();
  CLI::App* command = app.add_subcommand("migrate", "Move a running job to a node");
  command->add_option("JOB", options->job, "Its id")->required();
  command->add_option("NODE", options->node, "Where to")->required();
  output->add_to(*command);
  command->footer("Example: drover migrate 7 node2");
  command->callback([&context, options, output] {
    const long job = job_number(options->job);
    const Json reply = context.connect().request({{"op", "migrate"}, {"job", job}, {"node", options->node}});
    const Json& report = reply.at("report");
    output->json() ? Output::print_json(report) : print_report(report);
    if (!report.value("ok", true)) {
      fmt::print(stderr, "drover: job {}: not moved: {}; it runs on where it was\n", job, report.value("error", ""));
      context.exit_code = 1;
    }
  });
}

}  // namespace drover
