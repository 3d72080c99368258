// drover submit: starts a job in the background and prints its id.
#include <fmt/format.h>

#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/job_spec.h"

namespace drover {

namespace {

struct SubmitOptions : JobOptions {
  std::string stdin_path, stdout_path, stderr_path;
};

}  // namespace

void add_submit(CLI::App& app, Context& context) {
  auto options = std::make_shared<SubmitOptions>();
  auto output = std::make_shared<Output>();
  CLI::App* command = app.add_subcommand("submit", "Start a job in the background and print its id");
  options->add_to(*command);
  command->add_option("-i,--stdin", options->stdin_path, "File to read from (default: nothing to read)")
      ->type_name("FILE");
  command->add_option("-O,--stdout", options->stdout_path, "File to write to (default: kept for drover logs)")
      ->type_name("FILE");
  command->add_option("-e,--stderr", options->stderr_path, "File for errors (default: kept for drover logs)")
      ->type_name("FILE");
  output->add_to(*command, Output::Prints::List);
  command->footer("Example: drover submit -O big.xz -- xz -9e -c big.tar");
  command->callback([&context, options, output] {
    Json spec = options->spec(context.program);
    spec["stdin"] = absolute_path(options->stdin_path);
    spec["stdout"] = absolute_path(options->stdout_path);
    spec["stderr"] = absolute_path(options->stderr_path);
    const Json reply = context.connect().request({{"op", "submit"}, {"spec", std::move(spec)}});
    if (output->json()) return Output::print_json(reply);
    fmt::print("{}\n", reply.at("job").get<long>());
  });
}

}  // namespace drover
