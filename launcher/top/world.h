// What `top` knows of the cluster: droverd's answers (PROTOCOL.md) as rows of values, ready to be sorted and drawn.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "launcher/top/styled_text.h"

namespace drover::top {

struct NodeRow {
  std::string name, host;
  std::string state;                      // "BUSY"
  std::string remark;                     // "stale 7 s", "12 s old"; empty if its figures are fresh
  bool known = false;                     // it has told of its load: else nothing below means anything
  double own_load = 0, foreign_load = 0;  // runnable threads per PU: of jobs, of everything else there
  double memory_share = -1;               // used, 0 to 1; -1 if unknown
  int jobs = 0, foreign_jobs = 0;
  double speed = 0;  // of a PU, to the reference
  bool takes_jobs() const { return known && (state == "FREE" || state == "NORMAL" || state == "BUSY"); }
};

// Watermarks of the run queue, in threads per PU.
struct Watermarks {
  double low = 0, high = 0;
};

struct JobRow {
  long id = 0;
  std::string name, command, state, node, origin;
  std::string why;       // the most telling reason first
  bool held_up = false;  // `why` tells of something that keeps it from starting or from moving
  double run_seconds = 0, cpu_seconds = 0, memory_kib = 0, frozen_ms = 0;
  int moves = 0;
};

struct EventRow {
  std::uint64_t time_ns = 0;
  std::string text;
  Style style = Style::Plain;
};

struct World {
  std::string instance;
  std::uint64_t now_ns = 0;  // the time in the header
  bool heard = false;        // of nodes and jobs, at least once
  std::string trouble;       // why what is shown is not new: "lost droverd, trying again"
  std::vector<NodeRow> nodes;
  std::map<std::string, Watermarks> watermarks;  // of those nodes that have told
  std::vector<JobRow> jobs;
  std::vector<EventRow> events;  // oldest first

  const NodeRow* node(const std::string& name) const;
  const JobRow* job(long id) const;
};

// All of these throw nlohmann's exceptions for an answer that is not what PROTOCOL.md says.
std::vector<NodeRow> node_rows(const nlohmann::json& nodes);
std::map<std::string, Watermarks> watermarks_of(const nlohmann::json& nodes);  // of an answer to `own_load`
std::vector<JobRow> job_rows(const nlohmann::json& jobs);

// At its place in time; the oldest go when there are many.
void add_event(std::vector<EventRow>& events, EventRow event);

enum class Sort { Job, State, Node, Time, Cpu, Memory, Moves, Name };
inline constexpr int kSorts = 8;
const char* sort_name(Sort sort);

// Those whose name or command holds `filter` (whatever the case of its letters), in order; equal ones by id.
std::vector<const JobRow*> sorted_jobs(const World& world, const std::string& filter, Sort sort, bool backwards);

}  // namespace drover::top
