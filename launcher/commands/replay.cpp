// drover replay: makes the logged decisions again, from what they were made from.
#include <fmt/format.h>

#include <fstream>
#include <memory>

#include "launcher/commands/commands.h"
#include "runtime/policy/decision_log.h"

namespace drover {

namespace {

struct Tally {
  std::uint64_t same = 0, different = 0;
};

void replay_line(const std::string& line, const std::string& where, Tally& tally) {
  const Json event = Json::parse(line, nullptr, false);
  if (!event.is_object()) throw UsageError(fmt::format("{}: not an event (a JSON object in each line)", where));
  if (event.value("event", "") != "decided") return;
  try {
    const auto other = replay_decision(event);
    ++(other ? tally.different : tally.same);
    if (other) fmt::print("{}: decided {}, now {}\n", where, event.at("output").dump(), *other);
  } catch (const std::invalid_argument& error) {
    throw UsageError(fmt::format("{}: not a decision that can be made again: {}", where, error.what()));
  }
}

}  // namespace

void add_replay(CLI::App& app, Context& context) {
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand("replay", "Make logged decisions again, and tell which come out otherwise");
  command->add_option("EVENTS", *files, "Files of events, as in the state directory, or as `drover events` prints them")
      ->required();
  command->footer("Example: drover replay ~/.local/state/drover/default/events/*.jsonl");
  command->callback([&context, files] {
    Tally tally;
    for (const std::string& path : *files) {
      std::ifstream file(path);
      if (!file) throw UsageError(path + ": can't be read");
      std::string line;
      for (int number = 1; std::getline(file, line); ++number) {
        // What is being appended shows page by page, so a log in use may end in half a line.
        if (file.eof() && !Json::accept(line)) break;
        if (!line.empty()) replay_line(line, fmt::format("{}:{}", path, number), tally);
      }
    }
    fmt::print("{} decisions, {} come out otherwise\n", tally.same + tally.different, tally.different);
    if (tally.different > 0) context.exit_code = 1;
  });
}

}  // namespace drover
