// drover events: the event log of all nodes, oldest first.
#include <fmt/format.h>

#include <csignal>
#include <memory>
#include <optional>
#include <set>

#include "launcher/commands/commands.h"
#include "launcher/event_text.h"
#include "launcher/job_text.h"
#include "launcher/time_text.h"
#include "runtime/control/client_message.h"

namespace drover {

namespace {

// time node event, then the other fields as name=value.
std::string event_text(const Json& event) {
  std::string details = event_details(event);
  if (const auto spec = event.find("spec"); spec != event.end() && spec->is_object())
    details += "  " + shell_command(spec->value("argv", std::vector<std::string>{}));
  return fmt::format("{}  {:<8} {:<10} {}", clock_text(event_time_ns(event)), event.value("node", ""),
                     event.value("event", ""), details);
}

struct EventsOptions {
  Output output;
  bool follow = false;
  std::uint64_t from_ns = 0;
  std::optional<std::string> since;
};

void print_events(const Context& context, const EventsOptions& options) {
  std::signal(SIGPIPE, SIG_DFL);
  const std::uint64_t from_ns = options.since ? parse_time(*options.since) : options.from_ns;
  Client client = context.connect();
  std::set<long> jobs;
  client.send_request({{"op", "events"}, {"follow", options.follow}, {"from", from_ns}});
  for (;;) {
    const Frame frame = client.receive();
    if (frame.type == static_cast<std::uint16_t>(ClientMessage::Reply)) {
      Client::parse_reply(frame);
      return;
    }
    if (frame.type != static_cast<std::uint16_t>(ClientMessage::Item)) continue;
    const Json event = Json::parse(frame.payload, nullptr, false);
    if (options.output.quiet()) {
      if (const long job = event.is_object() ? event.value("job", 0L) : 0; job != 0 && jobs.insert(job).second)
        fmt::print("{}\n", job);
    } else {
      fmt::print("{}\n", options.output.json() || !event.is_object() ? frame.payload : event_text(event));
    }
    std::fflush(stdout);
  }
}

}  // namespace

void add_events(CLI::App& app, Context& context) {
  auto options = std::make_shared<EventsOptions>();
  CLI::App* command =
      app.add_subcommand("events", "Print what happened: starts, moves, ends (json: one object a line)");
  command->add_flag("-f,--follow", options->follow, "Go on as things happen");
  CLI::Option* from =
      command->add_option("--from", options->from_ns, "Skip what is older, in nanoseconds since 1970")->type_name("NS");
  command
      ->add_option("--since", options->since, "Only what happened since 30m, 2h, 3d, 2026-11-28 or '2026-11-28 12:00'")
      ->type_name("TIME")
      ->excludes(from);
  options->output.add_to(*command);
  command->footer("Examples: drover events -f --since 10m;  drover events -o json > events.jsonl");
  command->callback([&context, options] { print_events(context, *options); });
}

}  // namespace drover
