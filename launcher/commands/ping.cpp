// drover ping: the control round trip between this node and every other.
#include <fmt/format.h>

#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/table.h"

namespace drover {

void add_ping(CLI::App& app, Context& context) {
  auto output = std::make_shared<Output>();
  CLI::App* command = app.add_subcommand("ping", "Measure the control round trip to every other node");
  output->add_to(*command);
  command->footer("Example: drover ping");
  command->callback([&context, output] {
    const Json reply = context.connect().request({{"op", "ping"}});
    const Json& times = reply.at("round_trip_us");
    if (output->json()) return Output::print_json(times);
    Table table({{"NODE"}, {"ROUND TRIP", Table::Align::Right}});
    for (const auto& [node, us] : times.items()) {
      const bool answers = us.is_number() && us.get<double>() >= 0;
      if (output->quiet() && answers) fmt::print("{}\n", node);
      table.add({node, answers ? fmt::format("{:.0f} us", us.get<double>()) : "no answer"});
    }
    if (!output->quiet()) table.print();
  });
}

}  // namespace drover
