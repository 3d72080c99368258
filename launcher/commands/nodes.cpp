// drover nodes: the nodes, their load and what they think of it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/table.h"
#include "runtime/control/metrics_text.h"

namespace drover {

namespace {

Json member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_object() ? *found : Json::object();
}

// Never heard of: nothing that the answer says of its load means anything.
bool never_heard(const Json& node) { return node.value("age_ms", 0.0) < 0; }

std::string age_text(const Json& of) {
  const double age_ms = of.value("age_ms", -1.0);
  return age_ms < 0 ? "never heard" : fmt::format("{:.0f} s old", age_ms / 1000);
}

std::string state_text(const Json& node) {
  std::string state = node.value("state", "");
  if (never_heard(node)) return state;
  if (node.value("stale", false)) return state + fmt::format(" (stale {} s)", node.value("age_ms", 0L) / 1000);
  if (node.value("second_hand", false)) state += fmt::format(" ({})", age_text(node));
  return state;
}

std::string count_text(const Json& node, const char* name) {
  return never_heard(node) ? "-" : fmt::format("{}", node.value(name, 0));
}

// Of the PUs that it promises to jobs.
std::string free_text(const Json& node) {
  return never_heard(node) ? "-" : fmt::format("{} of {}", node.value("free_slots", 0), node.value("slots", 0));
}

std::string share_text(const Json& load) {
  const auto share = load.find("cpu_share");
  return share != load.end() && share->is_number() ? fmt::format("{:.0f} %", share->get<double>() * 100) : "-";
}

std::string queue_text(const Json& load) {
  const auto queue = load.find("run_queue");
  return queue != load.end() && queue->is_number() ? fmt::format("{:.2f}", queue->get<double>()) : "-";
}

std::string figure(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? format_figure(found->get<double>()) : "-";
}

// What a factor says in the vote of its node; nobody else knows the watermarks of one that gave no answer.
std::string vote_text(const Json& factor) {
  if (!factor.value("known", false)) return "not known";
  if (!factor.contains("low")) return "no answer";
  if (factor.value("weight", 1.0) == 0) return "no vote";
  const double value = factor.value("value", 0.0);
  return value < factor.value("low", 0.0) ? "free" : value > factor.value("high", 0.0) ? "busy" : "normal";
}

void print_factors(const Json& nodes) {
  using A = Table::Align;
  Table table({{"NODE"}, {"FACTOR"}, {"VALUE", A::Right}, {"LOW", A::Right}, {"HIGH", A::Right}, {"SAYS"}});
  for (const Json& node : nodes) {
    const Json factors = member(node, "factors");
    for (const auto& [name, factor] : factors.items()) {
      const double value = factor.value("value", 0.0);
      const bool known = factor.value("known", false);
      table.add({node.value("node", ""), name, known ? fmt::format("{:.2f}", value) : "-", figure(factor, "low"),
                 figure(factor, "high"), vote_text(factor)});
    }
  }
  table.print();
}

void print_watermarks(const Json& nodes) {
  using A = Table::Align;
  Table table({{"NODE"}, {"FACTOR"}, {"LOW", A::Right}, {"HIGH", A::Right}, {"WEIGHT", A::Right}, {"FROM"}});
  for (const Json& node : nodes) {
    const Json factors = member(node, "factors");
    for (const auto& [name, factor] : factors.items()) {
      const bool answered = factor.contains("from");
      table.add({node.value("node", ""), name, answered ? figure(factor, "low") : "-",
                 answered ? figure(factor, "high") : "-", figure(factor, "weight"), factor.value("from", "no answer")});
    }
    table.add({node.value("node", ""), "(speed)", figure(node, "speed"), "", "", ""});
  }
  table.print();
}

// Every number of a node's detail on a line: "cpu.user", "pressure.io.some.avg10".
void print_detail(const Json& nodes) {
  Table table({{"NODE"}, {"FIGURE"}, {"VALUE", Table::Align::Right}});
  for (const Json& node : nodes) {
    const Json figures = member(node, "detail").flatten();
    for (const auto& [pointer, value] : figures.items()) {
      if (!value.is_number()) continue;
      std::string name = pointer.substr(1);
      std::replace(name.begin(), name.end(), '/', '.');
      table.add({node.value("node", ""), name, format_figure(value.get<double>())});
    }
  }
  table.print();
}

void print_nodes(const Json& nodes) {
  using A = Table::Align;
  Table table({{"NODE"},
               {"STATE"},
               {"JOBS", A::Right},
               {"FOREIGN", A::Right},
               {"RUNQ", A::Right},
               {"CPU", A::Right},
               {"OTHERS", A::Right},
               {"PUS", A::Right},
               {"FREE PUS", A::Right},
               {"ALLOWED"},
               {"MEMORY", A::Right},
               {"HOST"}});
  for (const Json& node : nodes) {
    const Json nothing = Json::object();
    const Json own = never_heard(node) ? nothing : member(node, "own");
    const Json foreign = never_heard(node) ? nothing : member(node, "foreign");
    table.add({node.value("node", ""), state_text(node), count_text(node, "jobs"), count_text(node, "foreign_jobs"),
               queue_text(own), share_text(own), share_text(foreign), fmt::format("{}", node.value("pus", 0)),
               free_text(node), node.value("allowed_pus", ""), format_kib(node.value("memory_kib", 0.0)),
               node.value("host", "") + (node.value("shared_host", false) ? " (shared)" : "")});
  }
  table.print();
}

// What is known of each group of nodes as a whole, where nodes share on two levels.
void print_groups(const Json& groups) {
  using A = Table::Align;
  Table table({{"GROUP", A::Right},
               {"FIRST"},
               {"LEADER"},
               {"NODES", A::Right},
               {"MEMBERS", A::Right},
               {"FREE", A::Right},
               {"BUSY", A::Right},
               {"JOBS", A::Right},
               {"DEMAND", A::Right},
               {"PUS", A::Right},
               {"AGE"}});
  for (const Json& group : groups)
    table.add({fmt::format("{}", group.value("group", 0)), group.value("first", ""), group.value("leader", "-"),
               figure(group, "nodes"), figure(group, "members"), figure(group, "free"), figure(group, "busy"),
               figure(group, "jobs"), figure(group, "demand"), figure(group, "capacity"), age_text(group)});
  table.print();
}

void print_names(const Json& list, const char* name) {
  for (const Json& element : list)
    fmt::print("{}\n", element.at(name).is_string() ? element.at(name).get<std::string>() : element.at(name).dump());
}

struct Shown {
  bool factors = false, watermarks = false, detail = false, groups = false, metrics = false;
};

}  // namespace

void add_nodes(CLI::App& app, Context& context) {
  auto output = std::make_shared<Output>();
  auto shown = std::make_shared<Shown>();
  CLI::App* command = app.add_subcommand("nodes", "List nodes: state, jobs, own and others' load");
  auto* factors = command->add_flag("--factors", shown->factors, "Every factor with its watermarks");
  auto* marks =
      command->add_flag("--watermarks", shown->watermarks, "Every watermark and weight, and where each is from");
  auto* detail = command->add_flag("--detail", shown->detail, "CPU time by kind, paging, pressure, cgroup limits");
  auto* groups =
      command->add_flag("--groups", shown->groups, "What is known of each group, where nodes share in groups");
  auto* metrics = command->add_flag("--metrics", shown->metrics, "Figures for Prometheus, in its text format");
  factors->excludes(marks)->excludes(detail)->excludes(groups)->excludes(metrics);
  marks->excludes(detail)->excludes(groups)->excludes(metrics);
  detail->excludes(groups)->excludes(metrics);
  groups->excludes(metrics);
  output->add_to(*command);
  command->footer(
      "RUNQ and CPU are this node's own jobs', per PU that it may count on; OTHERS is what else runs on its PUs.\n"
      "FREE PUS are those that it promises to jobs (jobs_per_pu in drover.toml) and that none has.\n"
      "Where nodes share in groups, a node of another group is shown as its leader last listed it, and how old that "
      "is;\n"
      "UNKNOWN is one that was never listed.\n"
      "Examples: drover nodes --factors;  drover nodes -o quiet");
  command->callback([&context, output, shown] {
    Json question = {{"op", "nodes"}};
    if (shown->factors || shown->watermarks || shown->detail) question["own_load"] = true;
    const Json reply = context.connect().request(question);
    if (shown->groups) {
      const Json sums = reply.value("groups", Json::array());
      if (output->quiet()) return print_names(sums, "group");
      return output->json() ? Output::print_json(sums) : print_groups(sums);
    }
    const Json& nodes = reply.at("nodes");
    if (shown->metrics) return fmt::print("{}", metrics_text(nodes));
    if (output->json()) return Output::print_json(nodes);
    if (output->quiet()) return print_names(nodes, "node");
    if (shown->factors) return print_factors(nodes);
    if (shown->watermarks) return print_watermarks(nodes);
    if (shown->detail) return print_detail(nodes);
    print_nodes(nodes);
  });
}

}  // namespace drover
