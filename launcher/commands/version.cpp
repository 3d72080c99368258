#include <fmt/format.h>

#include "launcher/commands/commands.h"

namespace drover {

void add_version(CLI::App& app, Context&) {
  app.add_subcommand("version", "Print the version")->callback([] { fmt::print("drover {}\n", DROVER_VERSION); });
}

}  // namespace drover
