// drover: the commands that people type. Each is a file in commands/; what they share lies beside this one.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "launcher/command_line.h"
#include "launcher/commands/commands.h"
#include "launcher/completion/complete.h"
#include "launcher/shell/leader.h"

namespace {

int fail(int exit_code, std::string text) {
  drover::print_error(std::move(text));
  return exit_code;
}

int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help
  if (app.get_subcommands().empty() && !app.remaining().empty())
    return fail(2, fmt::format("{}: no such command or option; see: drover --help", app.remaining().front()));
  std::string command = "drover";
  for (const CLI::App* sub : app.get_subcommands()) command += " " + sub->get_name();
  return fail(2, fmt::format("{}; see: {} --help", error.what(), command));
}

// A descriptor 0 to 2 that is closed would be given to the next file we open, and a job's output would land there.
void open_standard_streams() {
  int fd = 0;
  do fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

// In the order of --help.
void add_commands(CLI::App& app, drover::Context& context) {
  // The cluster
  drover::add_up(app, context);
  drover::add_down(app, context);
  drover::add_status(app, context);
  drover::add_nodes(app, context);
  drover::add_doctor(app, context);
  drover::add_drain(app, context);
  drover::add_undrain(app, context);
  drover::add_ping(app, context);
  drover::add_calibrate(app, context);
  // Jobs
  drover::add_run(app, context);
  drover::add_attach(app, context);
  drover::add_shell(app, context);
  drover::add_submit(app, context);
  drover::add_ps(app, context);
  drover::add_top(app, context);
  drover::add_show(app, context);
  drover::add_history(app, context);
  drover::add_logs(app, context);
  drover::add_wait(app, context);
  drover::add_kill(app, context);
  drover::add_hold(app, context);
  drover::add_release(app, context);
  drover::add_checkpoint(app, context);
  drover::add_restore(app, context);
  drover::add_migrate(app, context);
  // What happened
  drover::add_events(app, context);
  drover::add_replay(app, context);
  drover::add_simulate(app, context);
  // Drover itself
  drover::add_config(app, context);
  drover::add_completion(app, context);
  drover::add_version(app, context);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_streams();
  if (argc > 3 && std::strcmp(argv[1], drover::shell::kLeaderWord) == 0) return drover::shell::lead(argv + 2);
  CLI::App app("Runs ordinary programs on a cluster's nodes, and moves them between nodes while they run.", "drover");
  drover::Context context;
  app.set_version_flag("--version", "drover " DROVER_VERSION, "Print the version and exit");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--at", context.at, "Talk to this node's droverd (default: $DROVER_NODE, else the first of this host)")
      ->type_name("NODE");

  add_commands(app, context);
  // Before any parsing: the words are half typed.
  if (argc > 1 && std::strcmp(argv[1], "__complete") == 0)
    return drover::print_completion(app, {argv + 2, argv + argc});

  try {
    auto [ours, program] = drover::split_command_line(app, {argv + 1, argv + argc});
    context.program = std::move(program);
    std::reverse(ours.begin(), ours.end());  // as CLI11 wants it
    app.parse(std::move(ours));
    return context.exit_code;
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error);
  } catch (const drover::UsageError& error) {
    return fail(2, error.what());
  } catch (const drover::RequestError& error) {
    return fail(error.exit_code(1), error.what());
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}
