// drover attach: a job's terminal, shown and typed into here.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/run/run_options.h"
#include "launcher/run/session.h"
#include "launcher/selector.h"

namespace drover {

namespace {

struct AttachOptions {
  SelectorOptions selector;
  SessionOptions session;
};

}  // namespace

void add_attach(CLI::App& app, Context& context) {
  auto options = std::make_shared<AttachOptions>();
  CLI::App* command = app.add_subcommand("attach", "Show the terminal of a job here, and type into it");
  options->selector.add_to(*command, "Which job: one");
  options->session.add_to(*command);
  options->session.add_keys_to(*command);
  command->footer(
      "Example: drover run -t -d -- vim notes;  drover attach last\n"
      "Others may look at the same terminal; it has the size of the smallest of them.\n"
      "Exit code: as of run; 0 when detached.");
  command->callback([&context, options] {
    LocalTerminal::require("attach");
    const long job = single_job(context, options->selector.selector(), "attach");
    context.exit_code =
        options->session.follow(context, true, [&](RunSession& session) { return session.attach(job); });
  });
}

}  // namespace drover
