// drover-ckpt: checkpoint and restart of process trees from the command line, with no cluster.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "ckpt/tool/commands.h"

namespace {

void add_output(CLI::App* command, bool& json) {
  command
      ->add_option_function<std::string>(
          "--output", [&json](const std::string& how) { json = how == "json"; }, "How to print: text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORMAT");
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Checkpoint and restart of unmodified programs", "drover-ckpt");
  app.set_version_flag("--version", DROVER_VERSION);
  app.require_subcommand(1);
  drover::DumpArguments dump;
  drover::RestoreArguments restore;
  std::string image;
  bool json = false;

  auto* dump_command =
      app.add_subcommand("dump", "Write a process and all that descend from it as an image, and end them");
  dump_command->add_option("PID", dump.pid, "The root of the tree")->required();
  dump_command->add_option("IMAGE", dump.image, "The file to write, - for standard output")->required();
  dump_command->add_flag("--leave-running", dump.leave_running, "Let the tree go on afterwards");
  dump_command->add_flag("--own-ipc", dump.own_ipc,
                         "The tree has its IPC namespace, which this program is in, to itself: all in it goes along");
  dump_command->add_flag("--with-program", dump.with_program,
                         "Let the program and its libraries travel, too: for where they are of another version");
  dump_command
      ->add_option("--with-file", dump.with_files,
                   "Let this file travel, too, if it is only read; may be given more than once")
      ->type_name("PATH")
      ->allow_extra_args(false);
  dump_command->add_flag("--timing", dump.timing, "Print where the time went");
  auto* restore_command = app.add_subcommand("restore", "Make a tree from an image, and wait for the end of its root");
  restore_command->add_option("IMAGE", restore.image, "The file to read, - for standard input")->required();
  restore_command->add_flag("--detach", restore.detach, "Return when the tree runs");
  restore_command->add_flag("--new-pid-namespace", restore.new_pid_namespace,
                            "In a PID namespace of its own, even if the process ids are free here");
  restore_command->add_flag("--truncate", restore.truncate,
                            "Cut files that the program wrote to, and that have grown since, back to what they were");
  restore_command->add_flag("--timing", restore.timing, "Print where the time went");
  auto* show_command = app.add_subcommand("show", "Print what an image holds");
  show_command->add_option("IMAGE", image, "The file to read")->required();
  add_output(show_command, json);
  auto* verify_command = app.add_subcommand("verify", "Check that an image is whole and sound");
  verify_command->add_option("IMAGE", image, "The file to read")->required();
  auto* features_command = app.add_subcommand("features", "Print what the kernel here can do");
  add_output(features_command, json);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (*dump_command) return drover::run_dump(dump);
  if (*restore_command) return drover::run_restore(restore);
  if (*show_command) return drover::run_show(image, json);
  if (*verify_command) return drover::run_verify(image);
  return drover::run_features(json);
} catch (const std::exception& error) {
  fmt::print(stderr, "drover-ckpt: {}\n", error.what());
  return 1;
}
