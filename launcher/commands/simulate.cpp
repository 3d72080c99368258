// drover simulate: the policies of droverd under a simulated load.
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <memory>
#include <sstream>

#include "launcher/commands/commands.h"
#include "launcher/plot/policy_figures.h"
#include "launcher/table.h"
#include "runtime/simulate/simulator.h"

namespace drover {

namespace {

struct Asked {
  std::string policy{kDefaultPolicy}, arrivals = "poisson", service = "exp", discipline = "ps", speeds = "1", trace;
  bool no_migration = false;
  double age_of_table = -1;  // as long as a round
  simulate::Options options;
};

std::vector<double> parse_speeds(const std::string& text) {
  std::vector<double> speeds;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    char* end = nullptr;
    const double speed = std::strtod(word.c_str(), &end);
    if (word.empty() || *end != '\0' || !(speed > 0) || !std::isfinite(speed))
      throw UsageError(fmt::format("--speeds: '{}': must be numbers above 0, with commas between them", text));
    speeds.push_back(speed);
  }
  if (speeds.empty()) throw UsageError("--speeds: must be numbers above 0, with commas between them");
  return speeds;
}

std::string policy_names() {
  std::string names = "central";
  for (const Policy& policy : all_policies()) names += fmt::format(", {}", policy.name);
  return names;
}

std::string read_trace(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UsageError(fmt::format("--trace: {}: can't be read", path));
  return {std::istreambuf_iterator<char>(file), {}};
}

simulate::Options make_options(const Asked& asked) {
  simulate::Options options = asked.options;
  options.central = asked.policy == "central";
  const auto policy = find_policy(options.central ? "none" : asked.policy);
  if (!policy)
    throw UsageError(fmt::format("--policy: '{}': no such policy; there are {}", asked.policy, policy_names()));
  options.policy.policy = *policy;
  options.policy.migrate = !asked.no_migration;
  const auto arrivals = simulate::find_arrivals(asked.arrivals);
  if (!arrivals)
    throw UsageError(fmt::format("--arrivals: '{}': must be poisson, bursty or at-one-node", asked.arrivals));
  options.arrivals = *arrivals;
  options.speeds = parse_speeds(asked.speeds);
  options.discipline = asked.discipline == "fcfs" ? simulate::Discipline::Fcfs : simulate::Discipline::ProcessorSharing;
  options.age_of_table = asked.age_of_table < 0 ? options.round : asked.age_of_table;
  try {
    options.service = simulate::ServiceTime::parse(asked.service);
    if (!asked.trace.empty())
      options.trace = simulate::parse_trace(read_trace(asked.trace), asked.trace, options.nodes);
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  return options;
}

Json describe(const Asked& asked, const simulate::Result& result) {
  return {{"policy", asked.policy},
          {"nodes", asked.options.nodes},
          {"load", asked.options.load},
          {"seed", asked.options.seed},
          {"jobs", result.jobs},
          {"mean_response", result.mean_response},
          {"confidence_95", result.confidence_95},
          {"mean_slowdown", result.mean_slowdown},
          {"slowdown_confidence_95", result.slowdown_confidence_95},
          {"p99_slowdown", result.p99_slowdown},
          {"utilization", result.utilization},
          {"probes_per_job", result.probes_per_job},
          {"placements", result.placements},
          {"migrations", result.migrations},
          {"announcements", result.announcements},
          {"groups", result.groups},
          {"mean_age", result.mean_age},
          {"worst_age", result.worst_age},
          {"messages_per_node", result.exchange.mean.messages},
          {"bytes_per_node", result.exchange.mean.bytes},
          {"worst_messages_per_node", result.exchange.worst.messages},
          {"worst_bytes_per_node", result.exchange.worst.bytes},
          {"announcement_messages_per_node", result.announcement_messages_per_node},
          {"makespan", result.makespan},
          {"makespan_lower_bound", result.makespan_lower_bound}};
}

void print_table(const Json& figures) {
  Table table({{"FIGURE"}, {"VALUE", Table::Align::Right}});
  for (const auto& [name, value] : figures.items())
    table.add({name, value.is_string()         ? value.get<std::string>()
                     : value.is_number_float() ? fmt::format("{:.4f}", value.get<double>())
                                               : value.dump()});
  table.print();
}

void print_csv(const Json& figures) {
  std::string names, values;
  for (const auto& [name, value] : figures.items()) {
    const char* comma = names.empty() ? "" : ",";
    names += comma + name;
    values += comma + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  fmt::print("{}\n{}\n", names, values);
}

void add_options(CLI::App& command, Asked& asked) {
  simulate::Options& options = asked.options;
  command.add_option("--policy", asked.policy, "One of " + policy_names())->capture_default_str();
  command.add_flag("--no-migration", asked.no_migration, "Running jobs stay where they are");
  command.add_option("--nodes", options.nodes, "How many")->capture_default_str();
  command.add_option("--load", options.load, "Arriving work over what the nodes can do, 0 to 1")->capture_default_str();
  command.add_option("--arrivals", asked.arrivals, "poisson, bursty or at-one-node")->capture_default_str();
  command.add_option("--service", asked.service, "exp, det (both of mean 1) or pareto:ALPHA,MIN,MAX")
      ->capture_default_str();
  command.add_option("--discipline", asked.discipline, "How a node serves its jobs: ps (shared) or fcfs (one by one)")
      ->check(CLI::IsMember({"fcfs", "ps"}))
      ->capture_default_str();
  command.add_option("--speeds", asked.speeds, "Of the nodes, in turn: 1,1,0.5")->capture_default_str();
  command.add_option("--cost", options.cost, "Seconds for which a job is frozen to move it")->capture_default_str();
  command.add_option("--probes", options.policy.probe_limit, "Nodes asked at most for one job")->capture_default_str();
  command.add_option("--choices", options.policy.choices, "The d of best-of-d")->capture_default_str();
  command.add_option("--threshold", options.threshold, "A node of so many jobs is BUSY")->capture_default_str();
  command.add_option("--safety", options.policy.rule.safety, "Factor of the age rule")->capture_default_str();
  command
      .add_option("--idle-share", options.policy.rule.most_of_idle_time,
                  "Of the time that a place stays free, for a move")
      ->capture_default_str();
  command
      .add_option("--residence", options.policy.rule.min_residence_seconds, "Seconds that a moved job stays at least")
      ->capture_default_str();
  command.add_option("--room", options.policy.rule.room_seconds, "Seconds of arrivals that faster places are left to")
      ->capture_default_str();
  command.add_option("--round", options.round, "Seconds from one round to the next; 0: no rounds")
      ->capture_default_str();
  command.add_option("--age-of-table", asked.age_of_table,
                     "Seconds from one table to the next; 0: always true (default: a round)");
  command
      .add_option("--two-level-above", options.two_level_above,
                  "More nodes than this share in groups (not with --age-of-table 0)")
      ->check(CLI::Range(2, 1'000'000))
      ->capture_default_str();
  command.add_option("--jobs", options.jobs, "How many")->capture_default_str();
  command.add_option("--seed", options.seed, "Of the random numbers")->capture_default_str();
  command.add_option("--trace", asked.trace, "A file of jobs: ARRIVAL-SECONDS WORK-SECONDS [NODE] in each line");
  command.add_flag("--batch", options.batch, "All jobs arrive at the start: how long do they take?");
}

void list_figures() {
  Table table({{"NAME"}, {"FIGURE"}});
  for (const PolicyFigure& figure : all_policy_figures())
    table.add({std::string(figure.name), std::string(figure.summary)});
  table.print();
}

void draw_figure(const std::string& name, const std::string& path) {
  if (name == "list") return list_figures();
  std::string names;
  for (const PolicyFigure& figure : all_policy_figures()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", figure.name);
    if (figure.name != name) continue;
    if (path.empty()) return fmt::print("{}", figure.draw());
    std::ofstream file(path);
    if (!file) throw UsageError(fmt::format("--output-file: {}: can't be written", path));
    file << figure.draw() << std::flush;
    if (!file) throw std::runtime_error(fmt::format("{}: could not be written in full", path));
    return;
  }
  throw UsageError(fmt::format("--figure: '{}': no such figure; there are {}", name, names));
}

}  // namespace

void add_simulate(CLI::App& app, Context&) {
  auto asked = std::make_shared<Asked>();
  auto output = std::make_shared<std::string>("table");
  CLI::App* command = app.add_subcommand("simulate", "Run the policies on simulated nodes and jobs");
  add_options(*command, *asked);
  command->add_option("--output", *output, "How to print: table, json or csv")
      ->check(CLI::IsMember({"table", "json", "csv"}))
      ->type_name("FORMAT");
  auto figure = std::make_shared<std::string>(), file = std::make_shared<std::string>();
  CLI::Option* draws =
      command->add_option("--figure", *figure, "Draw this one as SVG, of simulations of its own; list: what there is")
          ->type_name("NAME");
  command->add_option("--output-file", *file, "Where the figure goes, instead of standard output")->needs(draws);
  command->footer("Examples: drover simulate --policy balanced --load 0.9;  drover simulate --figure list");
  command->callback([asked, output, figure, file] {
    if (!figure->empty()) return draw_figure(*figure, *file);
    simulate::Result result;
    try {
      result = simulate::simulate(make_options(*asked));
    } catch (const std::invalid_argument& error) {
      throw UsageError(error.what());
    }
    const Json figures = describe(*asked, result);
    if (*output == "json") return Output::print_json(figures);
    if (*output == "csv") return print_csv(figures);
    print_table(figures);
  });
}

}  // namespace drover
