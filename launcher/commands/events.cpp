// drover events: the event log of all nodes, oldest first.
#include <fmt/format.h>

#include <csignal>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/event_text.h"
#include "runtime/control/client_message.h"

namespace drover {

namespace {

// time node event, then every other field as name=value.
std::string event_text(const Json& event) {
  return fmt::format("{}  {:<8} {:<10} {}", clock_text(event_time_ns(event)), event.value("node", ""),
                     event.value("event", ""), event_details(event));
}

}  // namespace

void add_events(CLI::App& app, Context& context) {
  auto output = std::make_shared<Output>();
  auto follow = std::make_shared<bool>(false);
  auto from = std::make_shared<std::uint64_t>(0);
  CLI::App* command =
      app.add_subcommand("events", "Print what happened: starts, moves, ends (json: one object a line)");
  command->add_flag("-f,--follow", *follow, "Go on as things happen");
  command->add_option("--from", *from, "Skip what is older, in nanoseconds since 1970")->type_name("NS");
  output->add_to(*command);
  command->footer("Examples: drover events -f;  drover events -o json > events.jsonl");
  command->callback([&context, output, follow, from] {
    std::signal(SIGPIPE, SIG_DFL);
    Client client = context.connect();
    client.send_request({{"op", "events"}, {"follow", *follow}, {"from", *from}});
    for (;;) {
      const Frame frame = client.receive();
      if (frame.type == static_cast<std::uint16_t>(ClientMessage::Reply)) {
        Client::parse_reply(frame);
        return;
      }
      if (frame.type != static_cast<std::uint16_t>(ClientMessage::Item)) continue;
      const Json event = Json::parse(frame.payload, nullptr, false);
      fmt::print("{}\n", output->json() || !event.is_object() ? frame.payload : event_text(event));
      std::fflush(stdout);
    }
  });
}

}  // namespace drover
