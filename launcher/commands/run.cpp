// drover run: a job in the foreground, as if its program had been started here.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/job_spec.h"
#include "launcher/run/run_options.h"

namespace drover {

namespace {

struct RunOptions : JobOptions {
  SessionOptions session;
  bool terminal = false, detached = false;
};

int run(const Context& context, const RunOptions& options) {
  if (options.detached && !options.terminal)
    throw UsageError("run: --detached goes with --terminal; without a terminal there is: drover submit");
  if (options.terminal && options.retries > 0)
    throw UsageError("run: --retries: a job with a terminal is not started anew; leave out --retries or --terminal");
  if (options.terminal && !options.detached) LocalTerminal::require("run: --terminal");
  Json spec = options.spec(context.program);
  spec["terminal"] = options.terminal;
  if (!options.detached)
    return options.session.follow(context, options.terminal,
                                  [&](RunSession& session) { return session.run(std::move(spec)); });
  spec["rows"] = 24, spec["columns"] = 80;  // until somebody looks
  const Json reply = context.connect().request({{"op", "submit"}, {"spec", std::move(spec)}});
  fmt::print("{}\n", reply.at("job").get<long>());
  return 0;
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command =
      app.add_subcommand("run", "Run a job in the foreground: streams, signals and exit code are its own");
  options->add_to(*command);
  command->add_flag("-t,--terminal", options->terminal, "Give the job this terminal: for editors, shells, screens");
  command->add_flag("-d,--detached", options->detached,
                    "Only start it, with a terminal for drover attach; print its id");
  options->session.add_keys_to(*command);
  options->session.add_to(*command);
  command->footer(
      "Examples: tar c dir | drover run -- xz -9e > dir.tar.xz;  drover run -t -- vim notes\n"
      "Exit code: the program's; 128+n if signal n ended it; 127 not found; 126 not executable; 125 Drover's own "
      "failure.");
  command->callback([&context, options] { context.exit_code = run(context, *options); });
}

}  // namespace drover
