#include "runtime/policy/decision_log.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <vector>

namespace drover {

using nlohmann::json;

// Where the library looks for them: beside the types.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MigrationRule, safety, min_residence_seconds, bytes_per_second, fixed_cost_seconds,
                                   seconds_per_file, seconds_per_connection, most_of_link, least_gain,
                                   most_of_idle_time, room_seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Candidate, job, age_seconds, here_seconds, resident_kib, swapped_kib, unsent_kib,
                                   files, connections, more_bytes_per_second, movable, started, moved)

namespace {

// Arrays, since every decision carries the whole table: load, capacity, speed, state, usable, accepts, leaving, jobs,
// movable, arrivals per second, memory in KiB, draining, slots, free slots (the last three not in older logs).
json to_array(const NodeView& v) {
  return {v.load,
          v.capacity,
          v.speed,
          static_cast<int>(v.state),
          v.usable,
          v.accepts,
          v.leaving,
          v.jobs,
          v.movable,
          v.arrivals_per_second,
          v.memory_available_kib,
          v.draining,
          v.slots,
          v.free_slots};
}

NodeView view_from(const json& a) {
  NodeView v;
  v.load = a.at(0), v.capacity = a.at(1), v.speed = a.at(2);
  v.state = static_cast<NodeState>(a.at(3).get<int>());
  v.usable = a.at(4), v.accepts = a.at(5), v.leaving = a.at(6);
  v.jobs = a.at(7), v.movable = a.at(8);
  v.arrivals_per_second = a.at(9), v.memory_available_kib = a.at(10);
  v.draining = a.size() > 11 && a.at(11).get<bool>();
  if (a.size() > 13) v.slots = a.at(12), v.free_slots = a.at(13);
  return sane(v);
}

json to_arrays(std::span<const NodeView> table) {
  json all = json::array();
  for (const NodeView& view : table) all.push_back(to_array(view));
  return all;
}

std::vector<NodeView> views_from(const json& all) {
  std::vector<NodeView> table;
  for (const json& one : all) table.push_back(view_from(one));
  return table;
}

json to_json(const Placement& placement) {
  json ask = json::array();
  for (const Ask& one : placement.ask) ask.push_back({one.rank, one.terms.only_if_free, one.terms.more_than});
  return {{"ask", ask}, {"best_answer", placement.best_answer}};
}

json to_json(const Choice& choice) {
  return {{"job", choice.job},
          {"cost_seconds", choice.cost_seconds},
          {"needed_age_seconds", choice.needed_age_seconds},
          {"method", method_name(choice.method)}};
}

PolicySettings settings_from(const json& j) {
  PolicySettings settings;
  const auto policy = find_policy(j.at("policy").get<std::string>());
  if (!policy) throw std::invalid_argument(fmt::format("no policy '{}'", j.at("policy").get<std::string>()));
  settings.policy = *policy;
  j.at("probe_limit").get_to(settings.probe_limit);
  j.at("choices").get_to(settings.choices);
  return settings;
}

Need need_from(const json& input) {
  if (!input.contains("need")) return {};  // an older log
  return {input.at("need").at(0), input.at("need").at(1)};
}

json again(const json& event) {
  const json& input = event.at("input");
  const auto table = views_from(input.at("table"));
  if (event.at("decision") == "place") {
    const int self = input.at("self");
    if (self < 0 || static_cast<std::size_t>(self) >= table.size())
      throw std::invalid_argument("the node that decided is not in its table");
    return to_json(
        place(settings_from(input), self, view_from(input.at("own")), table, input.at("seed"), need_from(input)));
  }
  if (event.at("decision") != "give") throw std::invalid_argument("a decision of an unknown kind");
  const auto candidates = input.at("candidates").get<std::vector<Candidate>>();
  const auto choice = choose_migrant(candidates, view_from(input.at("own")), view_from(input.at("destination")), table,
                                     input.at("rule").get<MigrationRule>());
  return choice ? to_json(*choice) : json();
}

}  // namespace

json record_place(const PolicySettings& settings, std::int64_t job, int self, const NodeView& own,
                  std::span<const NodeView> table, std::uint64_t seed, const Need& need, const Placement& placement) {
  return {{"event", "decided"},
          {"decision", "place"},
          {"job", job},
          {"input",
           {{"policy", settings.policy.name},
            {"probe_limit", settings.probe_limit},
            {"choices", settings.choices},
            {"self", self},
            {"own", to_array(own)},
            {"table", to_arrays(table)},
            {"seed", seed},
            {"need", {need.cpus, need.memory_kib}}}},
          {"output", to_json(placement)}};
}

json record_give(const MigrationRule& rule, std::span<const Candidate> candidates, const NodeView& own, int to,
                 const NodeView& destination, std::span<const NodeView> table, const Choice& choice) {
  return {{"event", "decided"},
          {"decision", "give"},
          {"job", choice.job},
          {"to", to},
          {"input",
           {{"rule", rule},
            {"candidates", std::vector<Candidate>(candidates.begin(), candidates.end())},
            {"own", to_array(own)},
            {"destination", to_array(destination)},
            {"table", to_arrays(table)}}},
          {"output", to_json(choice)}};
}

std::optional<std::string> replay_decision(const json& event) {
  try {
    const json result = again(event);
    if (result == event.at("output")) return std::nullopt;
    return result.dump();
  } catch (const json::exception& error) {
    throw std::invalid_argument(error.what());
  }
}

}  // namespace drover
