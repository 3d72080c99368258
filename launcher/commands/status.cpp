// drover status: is a cluster up, and which.
#include <fmt/format.h>

#include <memory>

#include "launcher/commands/commands.h"

namespace drover {

void add_status(CLI::App& app, Context& context) {
  auto output = std::make_shared<Output>();
  CLI::App* command = app.add_subcommand("status", "Say whether the cluster is up and how many nodes it has");
  output->add_to(*command);
  command->footer("Example: drover status -o json");
  command->callback([&context, output] {
    const Json reply = context.connect().request({{"op", "status"}});
    if (output->json()) return Output::print_json(reply);
    if (output->quiet()) return fmt::print("{}\n", reply.value("node", ""));
    const auto excluded = reply.value("excluded", std::vector<std::string>{});
    fmt::print("{} (rank {}): {}, {} node{}, generation {}, version {}\n", reply.value("node", ""),
               reply.value("rank", 0), reply.value("ready", false) ? "ready" : "starting", reply.value("world", 0),
               reply.value("world", 0) == 1 ? "" : "s", reply.value("generation", 0), reply.value("version", ""));
    for (const std::string& node : excluded) fmt::print("excluded: {}\n", node);
  });
}

}  // namespace drover
