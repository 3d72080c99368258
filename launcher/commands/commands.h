// Every command of `drover`, one file each. An add_*() function declares a command's options and, as its callback, what
// it does; the callback leaves the exit code in Context::exit_code or throws (main.cpp turns exceptions into one line
// on stderr).
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "launcher/client.h"

namespace drover {

struct Context {
  std::string at;                    // --at
  std::vector<std::string> program;  // the command line after the options of run and submit
  int exit_code = 0;

  Client connect() const { return Client::connect(instance_paths(), at); }
};

// A mistake in what was typed: exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// --output of the commands that print more than a line.
struct Output {
  std::string format = "table";  // or "json", or "quiet": only ids or names, one a line
  void add_to(CLI::App& command);
  bool table() const { return format == "table"; }
  bool json() const { return format == "json"; }
  bool quiet() const { return format == "quiet"; }
  static void print_json(const Json& value);
};

// "drover: the thing: the reason; what to do" to stderr, on one line whatever the text holds.
void print_error(std::string text);

void add_up(CLI::App& app, Context& context);
void add_down(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);
void add_submit(CLI::App& app, Context& context);
void add_run(CLI::App& app, Context& context);
void add_attach(CLI::App& app, Context& context);
void add_shell(CLI::App& app, Context& context);
void add_ps(CLI::App& app, Context& context);
void add_top(CLI::App& app, Context& context);
void add_show(CLI::App& app, Context& context);
void add_history(CLI::App& app, Context& context);
void add_nodes(CLI::App& app, Context& context);
void add_logs(CLI::App& app, Context& context);
void add_wait(CLI::App& app, Context& context);
void add_kill(CLI::App& app, Context& context);
void add_hold(CLI::App& app, Context& context);
void add_release(CLI::App& app, Context& context);
void add_checkpoint(CLI::App& app, Context& context);
void add_restore(CLI::App& app, Context& context);
void add_migrate(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_drain(CLI::App& app, Context& context);
void add_undrain(CLI::App& app, Context& context);
void add_events(CLI::App& app, Context& context);
void add_ping(CLI::App& app, Context& context);
void add_replay(CLI::App& app, Context& context);
void add_simulate(CLI::App& app, Context& context);
void add_calibrate(CLI::App& app, Context& context);
void add_config(CLI::App& app, Context& context);
void add_completion(CLI::App& app, Context& context);
void add_version(CLI::App& app, Context& context);

}  // namespace drover
