// drover events: the event log of all nodes, oldest first.
#include <fmt/format.h>

#include <array>
#include <csignal>
#include <ctime>
#include <memory>

#include "launcher/commands/commands.h"
#include "runtime/control/client_message.h"

namespace drover {

namespace {

std::string clock_text(std::uint64_t time_ns) {
  const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
  return fmt::format("{}.{:03}", text.data(), time_ns / 1'000'000 % 1000);
}

// time node event, then every other field as name=value.
std::string event_text(const Json& event) {
  std::string out = fmt::format("{}  {:<8} {:<10}", clock_text(event.value("time_ns", std::uint64_t{0})),
                                event.value("node", ""), event.value("event", ""));
  for (const auto& [name, value] : event.items()) {
    if (name == "time_ns" || name == "node" || name == "event") continue;
    if (value.is_string() && value.get_ref<const std::string&>().empty()) continue;
    out += fmt::format(" {}={}", name, value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return out;
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
