#include "launcher/top/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "launcher/job_text.h"

namespace drover::top {

using nlohmann::json;

namespace {

constexpr std::size_t kMostEvents = 500;

NodeRow node_row(const json& node) {
  NodeRow row;
  row.name = node.value("node", "");
  row.host = node.value("host", "");
  row.state = node.value("state", "");
  const double age_ms = node.value("age_ms", -1.0);
  row.known = age_ms >= 0 && row.state != "EXCLUDED";
  if (row.known && node.value("stale", false))
    row.remark = fmt::format("stale {:.0f} s", age_ms / 1000);
  else if (row.known && node.value("second_hand", false))
    row.remark = fmt::format("{:.0f} s old", age_ms / 1000);
  const json nothing = json::object();
  row.own_load = node.value("own", nothing).value("run_queue", 0.0);
  row.foreign_load = node.value("foreign", nothing).value("run_queue", 0.0);
  const double memory_kib = node.value("memory_kib", 0.0), available_kib = node.value("memory_available_kib", 0.0);
  if (memory_kib > 0 && available_kib > 0) row.memory_share = std::clamp(1 - available_kib / memory_kib, 0.0, 1.0);
  row.jobs = node.value("jobs", 0);
  row.foreign_jobs = node.value("foreign_jobs", 0);
  row.speed = node.value("speed", 0.0);
  return row;
}

JobRow job_row(const json& job) {
  JobRow row;
  row.id = job.value("job", 0L);
  row.name = name_text(job);
  row.command = command_text(job);
  row.state = state_text(job);
  row.node = job.value("node", "");
  row.origin = job.value("origin", "");
  row.why = why_text(job);
  row.held_up = !job.value("error", "").empty() || !job.value("pinned", "").empty() || row.state == "queued" ||
                row.state == "held" || row.state == "in-doubt";
  row.run_seconds = run_seconds(job);
  row.cpu_seconds = job.value("cpu_seconds", 0.0);
  row.memory_kib = job.value("memory_kib", 0.0);
  row.frozen_ms = job.value("frozen_ms", 0.0);
  row.moves = job.value("moves", 0);
  return row;
}

// Of ASCII letters only: others are found as they are written.
std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// Figures begin with the largest: that is what one looks for.
bool before(const JobRow& a, const JobRow& b, Sort sort) {
  switch (sort) {
    case Sort::Job:
      return a.id < b.id;
    case Sort::State:
      return std::tie(a.state, a.id) < std::tie(b.state, b.id);
    case Sort::Node:
      return std::tie(a.node, a.id) < std::tie(b.node, b.id);
    case Sort::Time:
      return std::tie(b.run_seconds, a.id) < std::tie(a.run_seconds, b.id);
    case Sort::Cpu:
      return std::tie(b.cpu_seconds, a.id) < std::tie(a.cpu_seconds, b.id);
    case Sort::Memory:
      return std::tie(b.memory_kib, a.id) < std::tie(a.memory_kib, b.id);
    case Sort::Moves:
      return std::tie(b.moves, a.id) < std::tie(a.moves, b.id);
    case Sort::Name:
      return std::tie(a.name, a.id) < std::tie(b.name, b.id);
  }
  return false;
}

}  // namespace

const NodeRow* World::node(const std::string& name) const {
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const NodeRow& row) { return row.name == name; });
  return found == nodes.end() ? nullptr : &*found;
}

const JobRow* World::job(long id) const {
  const auto found = std::find_if(jobs.begin(), jobs.end(), [&](const JobRow& row) { return row.id == id; });
  return found == jobs.end() ? nullptr : &*found;
}

std::vector<NodeRow> node_rows(const json& nodes) {
  std::vector<NodeRow> rows;
  for (const json& node : nodes) rows.push_back(node_row(node));
  return rows;
}

std::map<std::string, Watermarks> watermarks_of(const json& nodes) {
  std::map<std::string, Watermarks> marks;
  for (const json& node : nodes) {
    const json queue = node.value("factors", json::object()).value("run_queue", json::object());
    if (queue.contains("low")) marks[node.value("node", "")] = {queue.value("low", 0.0), queue.value("high", 0.0)};
  }
  return marks;
}

std::vector<JobRow> job_rows(const json& jobs) {
  std::vector<JobRow> rows;
  for (const json& job : jobs) rows.push_back(job_row(job));
  return rows;
}

void add_event(std::vector<EventRow>& events, EventRow event) {
  const auto later = [](const EventRow& a, const EventRow& b) { return a.time_ns < b.time_ns; };
  events.insert(std::upper_bound(events.begin(), events.end(), event, later), std::move(event));
  if (events.size() > kMostEvents)
    events.erase(events.begin(), events.end() - static_cast<std::ptrdiff_t>(kMostEvents * 3 / 4));
}

const char* sort_name(Sort sort) {
  static constexpr const char* kNames[kSorts] = {"JOB", "STATE", "NODE", "TIME", "CPU", "MEMORY", "MOVES", "NAME"};
  return kNames[static_cast<int>(sort)];
}

std::vector<const JobRow*> sorted_jobs(const World& world, const std::string& filter, Sort sort, bool backwards) {
  const std::string wanted = lower_case(filter);
  std::vector<const JobRow*> jobs;
  for (const JobRow& job : world.jobs)
    if (wanted.empty() || lower_case(job.name).find(wanted) != std::string::npos ||
        lower_case(job.command).find(wanted) != std::string::npos)
      jobs.push_back(&job);
  std::sort(jobs.begin(), jobs.end(), [&](const JobRow* a, const JobRow* b) { return before(*a, *b, sort); });
  if (backwards) std::reverse(jobs.begin(), jobs.end());
  return jobs;
}

}  // namespace drover::top
