#include <fmt/format.h>

#include "launcher/commands/commands.h"

namespace drover {

void add_version(CLI::App& app, Context&) {
  CLI::App* command = app.add_subcommand("version", "Print the version");
  command->footer("Example: drover version");
  command->callback([] { fmt::print("drover {}\n", DROVER_VERSION); });
}

}  // namespace drover
