// drover run: a job in the foreground, as if its program had been started here.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/job_spec.h"
#include "launcher/run/session.h"

namespace drover {

namespace {

constexpr int kOurFailure = 125;  // as env(1) and timeout(1): not the program's own code

struct RunOptions : JobOptions {
  int give_up_after = 300;
};

int run(const Context& context, const RunOptions& options, const std::vector<std::string>& argv) {
  Json spec = options.spec(argv);
  try {
    RunSession session(instance_paths(),
                       {.at = context.at, .give_up_after = std::chrono::seconds(options.give_up_after)});
    return session.run(std::move(spec));
  } catch (const RequestError& error) {
    fmt::print(stderr, "drover: {}\n", error.what());
    return error.exit_code(kOurFailure);
  } catch (const std::exception& error) {
    fmt::print(stderr, "drover: {}\n", error.what());
    return kOurFailure;
  }
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command =
      app.add_subcommand("run", "Run a job in the foreground: streams, signals and exit code are its own");
  options->add_to(*command);
  command
      ->add_option("--give-up-after", options->give_up_after, "Seconds to wait for a new droverd when ours goes away")
      ->type_name("SECONDS")
      ->check(CLI::Range(0, 7 * 24 * 3600))
      ->envname("DROVER_GIVE_UP_AFTER")
      ->capture_default_str();
  command->footer(
      "Example: tar c dir | drover run -- xz -9e > dir.tar.xz\n"
      "Exit code: the program's; 128+n if signal n ended it; 127 not found; 126 not executable; 125 Drover's own "
      "failure.");
  command->callback([&context, options] { context.exit_code = run(context, *options, context.program); });
}

}  // namespace drover
