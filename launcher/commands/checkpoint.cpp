// drover checkpoint, restore: an image of a running job in a file, and a new job that goes on from one.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/job_spec.h"
#include "launcher/selector.h"

namespace drover {

namespace {

struct CheckpointOptions {
  std::string job, file;
  Output output;
};

void checkpoint(const Context& context, const CheckpointOptions& options) {
  SelectorOptions words;
  words.words = {options.job};
  const long job = single_job(context, words.selector(), "checkpoint");
  const Json reply =
      context.connect().request({{"op", "checkpoint"}, {"job", job}, {"path", absolute_path(options.file)}});
  if (options.output.json()) return Output::print_json(reply);
  fmt::print("{}\n", reply.value("path", ""));
}

struct RestoreOptions {
  std::string file, node;
  bool hold = false, truncate = false;
  Output output;
};

void restore(const Context& context, const RestoreOptions& options) {
  const Json reply = context.connect().request({{"op", "restore"},
                                                {"path", absolute_path(options.file)},
                                                {"node", options.node},
                                                {"hold", options.hold},
                                                {"truncate", options.truncate}});
  if (options.output.json()) return Output::print_json(reply);
  fmt::print("{}\n", reply.at("job").get<long>());
}

}  // namespace

void add_checkpoint(CLI::App& app, Context& context) {
  auto options = std::make_shared<CheckpointOptions>();
  CLI::App* command = app.add_subcommand("checkpoint", "Write an image of a running job, which goes on, to a file");
  command->add_option("JOB", options->job, "Which: 7, or last")->required();
  command->add_option("FILE", options->file, "Where to (default: jobs/JOB/checkpoint in the state directory)");
  options->output.add_to(*command);
  command->footer(
      "Prints the file's name. The node where the job runs writes it: it must see the directory.\n"
      "Example: drover checkpoint 7 monday.image");
  command->callback([&context, options] { checkpoint(context, *options); });
}

void add_restore(CLI::App& app, Context& context) {
  auto options = std::make_shared<RestoreOptions>();
  CLI::App* command = app.add_subcommand("restore", "Start a new job that goes on from an image, and print its id");
  command->add_option("FILE", options->file, "What drover checkpoint has written")->required();
  command->add_option("--node", options->node, "Start exactly there (default: the policy chooses)")->type_name("NODE");
  command->add_flag("--hold", options->hold, "It waits until drover release");
  command->add_flag("--truncate", options->truncate,
                    "Cut files that the program wrote to, and that have grown since, back to what they were");
  options->output.add_to(*command);
  command->footer("Example: drover restore monday.image --node node2");
  command->callback([&context, options] { restore(context, *options); });
}

}  // namespace drover
