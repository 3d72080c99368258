// drover drain, undrain: a node takes nothing more and what it has moves away; and back to work.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "launcher/commands/commands.h"
#include "launcher/selector.h"

namespace drover {

namespace {

using Clock = std::chrono::steady_clock;

struct DrainOptions {
  std::vector<std::string> nodes;
  std::string reason;
  double timeout_seconds = 0;  // 0: none
  bool no_wait = false, until_ended = false;
};

Json ask(Context& context, const std::vector<std::string>& nodes) {
  return context.connect().request({{"op", "drain"}, {"nodes", nodes}}).at("nodes");
}

std::size_t count_jobs(const Json& nodes) {
  std::size_t jobs = 0;
  for (const Json& node : nodes) jobs += node.at("jobs").size();
  return jobs;
}

// It is tried again and again, but after so many failures a person wants to hear of it.
bool may_still_go(const Json& node, const Json& job) {
  constexpr int kEnoughFailures = 3;
  if (job.value("moving", false)) return true;
  return !job.value("pinned", false) && node.value("refuge", true) && job.value("failed", 0) < kEnoughFailures;
}

bool any_may_still_go(const Json& nodes) {
  return std::any_of(nodes.begin(), nodes.end(), [](const Json& node) {
    const Json& jobs = node.at("jobs");
    return std::any_of(jobs.begin(), jobs.end(), [&](const Json& job) { return may_still_go(node, job); });
  });
}

// On the terminal, in place: "drain  [######....]  3 of 5 jobs have gone".
class Progress {
 public:
  void show(std::size_t left) {
    if (!terminal_) return;
    most_ = std::max(most_, left);
    if (most_ == 0) return;
    constexpr std::size_t kWidth = 30;
    const std::size_t full = kWidth * (most_ - left) / most_;
    fmt::print(stderr, "\rdrain  [{:#<{}}{:.<{}}]  {} of {} jobs have gone", "", full, "", kWidth - full, most_ - left,
               most_);
    shown_ = true;
  }
  ~Progress() {
    if (shown_) fmt::print(stderr, "\n");
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) == 1, shown_ = false;
  std::size_t most_ = 0;
};

// Until nothing is left, or only what stays.
Json wait_until_drained(Context& context, const DrainOptions& options, Json nodes) {
  // What others know of the node, and it of them, is a round or two old.
  constexpr auto kSettled = std::chrono::seconds(3);
  const auto begin = Clock::now();
  auto last_hope = begin;
  Progress progress;
  for (;;) {
    const std::size_t left = count_jobs(nodes);
    progress.show(left);
    const auto now = Clock::now();
    if (any_may_still_go(nodes)) last_hope = now;
    const bool hopeless = !options.until_ended && now - last_hope > kSettled;
    const bool late =
        options.timeout_seconds > 0 && std::chrono::duration<double>(now - begin).count() > options.timeout_seconds;
    if (left == 0 || hopeless || late) return nodes;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    nodes = ask(context, options.nodes);
  }
}

std::string why_it_stays(const Json& node, const Json& job) {
  if (job.value("moving", false)) return "still on its way";
  if (auto why = job.value("why", ""); !why.empty()) return why;
  return node.value("refuge", true) ? "has not gone yet" : "no other node takes jobs now";
}

void print_outcome(const Json& nodes) {
  for (const Json& node : nodes) {
    const Json& jobs = node.at("jobs");
    if (jobs.empty()) {
      fmt::print("{} is drained\n", node.value("node", ""));
      continue;
    }
    fmt::print("{} takes no more jobs; {} {} still there:\n", node.value("node", ""), jobs.size(),
               jobs.size() == 1 ? "is" : "are");
    for (const Json& job : jobs)
      fmt::print("  {} ({}): {}\n", job.value("job", 0L), job.value("name", ""), why_it_stays(node, job));
  }
}

void drain(Context& context, const Output& output, const DrainOptions& options) {
  Json nodes = context.connect()
                   .request({{"op", "drain"}, {"nodes", options.nodes}, {"set", true}, {"reason", options.reason}})
                   .at("nodes");
  if (!options.no_wait) nodes = wait_until_drained(context, options, std::move(nodes));
  if (output.json())
    Output::print_json(nodes);
  else if (!output.quiet())
    print_outcome(nodes);
  else
    for (const Json& node : nodes) print_ids(node.at("jobs"));
  if (!options.no_wait && count_jobs(nodes) > 0) context.exit_code = 1;
}

}  // namespace

void add_drain(CLI::App& app, Context& context) {
  auto options = std::make_shared<DrainOptions>();
  auto output = std::make_shared<Output>();
  CLI::App* command = app.add_subcommand("drain", "Move everything off nodes, which take nothing more from then on");
  command->add_option("NODE", options->nodes, "Their names")->required();
  command->add_option("--reason", options->reason, "For the event log")->type_name("TEXT");
  command
      ->add_option("--timeout", options->timeout_seconds,
                   "Wait no longer than this, such as 90 or 5m (default: no limit)")
      ->type_name("TIME")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}},
                                        CLI::AsNumberWithUnit::CASE_SENSITIVE));
  auto* no_wait = command->add_flag("--no-wait", options->no_wait, "Return at once");
  command->add_flag("--until-ended", options->until_ended, "Wait for jobs that can't be moved, too")->excludes(no_wait);
  output->add_to(*command);
  command->footer(
      "Returns when the node is empty (exit code 0), or when what is left can't be moved or the time is up (1). A "
      "node\n"
      "stays drained, also in the worlds that follow, until drover undrain.\n"
      "Example: drover drain node3 --reason 'new memory' --timeout 10m");
  command->callback([&context, output, options] { drain(context, *output, *options); });
}

void add_undrain(CLI::App& app, Context& context) {
  auto nodes = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand("undrain", "Let nodes that were drained take jobs again");
  command->add_option("NODE", *nodes, "Their names")->required();
  command->footer("Example: drover undrain node3");
  command->callback([&context, nodes] {
    context.connect().request({{"op", "drain"}, {"nodes", *nodes}, {"set", false}});
  });
}

}  // namespace drover
