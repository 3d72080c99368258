// drover shell: a shell whose programs are jobs.
#include "launcher/shell/shell.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "launcher/commands/commands.h"
#include "launcher/run/run_options.h"
#include "launcher/shell/interactive.h"

namespace drover {

namespace {

constexpr int kOurFailure = 125, kNoScript = 127;

struct ShellOptions {
  SessionOptions session;
  std::string line;
  bool has_line = false;
  std::vector<std::string> words_for_help;  // stays empty: split_command_line() takes them before
};

std::string read_all(std::istream& stream) {
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

int run_shell(const Context& context, const ShellOptions& options) {
  try {
    (void)context.connect();
  } catch (const NoDroverd& error) {
    print_error(error.what());
    return kOurFailure;
  }
  std::vector<std::string> parameters = context.program;
  std::string name = "drover shell", script = options.line;
  if (!parameters.empty()) {
    name = parameters.front();
    parameters.erase(parameters.begin());
  }
  const bool is_file = !options.has_line && !context.program.empty();
  const bool typed = !options.has_line && !is_file && ::isatty(STDIN_FILENO) != 0;
  if (is_file) {
    std::ifstream file(name);
    script = read_all(file);
    if (!file) {
      print_error(fmt::format("shell: {}: {}", name, std::strerror(errno)));
      return kNoScript;
    }
  } else if (!options.has_line && !typed) {
    script = read_all(std::cin);  // all of it before the first program can take any
  }
  shell::Shell shell(context, options.session, name, std::move(parameters));
  shell::catch_interrupts();
  return typed ? shell::run_interactive(shell) : shell.run_to_end(script);
}

}  // namespace

void add_shell(CLI::App& app, Context& context) {
  auto options = std::make_shared<ShellOptions>();
  CLI::App* command = app.add_subcommand("shell", "A shell whose programs are jobs: here, or on a node that is free");
  command->add_option("FILE", options->words_for_help, "Run this script; the words after it are $1, $2, ...")
      ->type_name("[ARGUMENT]");
  auto* line = command->add_option("-c,--command", options->line, "Run this line; the words after it are $0, $1, ...")
                   ->type_name("LINE");
  options->session.add_keys_to(*command);
  options->session.add_to(*command);
  command->footer(
      "Without FILE and -c it is interactive, or reads a script from its standard input.\n"
      "Examples: drover shell -c 'xz -dc data.xz | ./analyse > result &  wait';  drover shell build.sh all\n"
      "Exit code: as of sh; 125 Drover's own failure.");
  command->callback([&context, options, line] {
    options->has_line = line->count() > 0;
    context.exit_code = run_shell(context, *options);
  });
}

}  // namespace drover
