// drover completion: a script that teaches a shell drover's commands.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/completion/complete.h"

namespace drover {

void add_completion(CLI::App& app, Context&) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print a script that lets a shell complete drover's commands");
  command->add_option("SHELL", *shell, "For which one")->required()->check(CLI::IsMember({"bash", "zsh"}));
  command->footer(
      "An installed Drover brings both along: bash-completion finds its script by itself, zsh where $fpath has the "
      "folder.\n"
      "Example: source <(drover completion bash)");
  command->callback([shell] { fmt::print("{}", completion_script(*shell)); });
}

}  // namespace drover
