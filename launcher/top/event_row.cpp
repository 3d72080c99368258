#include "launcher/top/event_row.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include "launcher/event_text.h"
#include "launcher/table.h"

namespace drover::top {

using nlohmann::json;

namespace {

std::string job_of(const json& event) { return fmt::format("job {}", event.value("job", 0L)); }

std::string because(const std::string& reason) { return reason.empty() ? "" : ": " + reason; }

EventRow migrated(const json& event) {
  const std::string way = fmt::format("{} -> {}", event.value("from", ""), event.value("to", ""));
  if (!event.value("ok", true))
    return {0, fmt::format("{} not moved {}{}", job_of(event), way, because(event.value("error", ""))), Style::Red};
  return {0,
          fmt::format("{} moved {}, frozen {:.1f} ms, {}{}", job_of(event), way, event.value("frozen_ms", 0.0),
                      format_kib(event.value("image_bytes", 0.0) / 1024), because(event.value("reason", ""))),
          Style::Cyan};
}

EventRow ended(const json& event) {
  const int status = event.value("wait_status", 0);
  const std::string how =
      WIFSIGNALED(status) ? fmt::format("by signal {}", WTERMSIG(status)) : fmt::format("with {}", WEXITSTATUS(status));
  if (event.contains("tasks"))
    return {0,
            fmt::format("{} ended: {} of {} tasks succeeded", job_of(event), event.value("succeeded", 0L),
                        event.value("tasks", 0L)),
            status == 0 ? Style::Plain : Style::Yellow};
  return {0,
          fmt::format("{} ended {} on {}, {} of CPU{}", job_of(event), how, event.value("place", ""),
                      format_seconds(event.value("cpu_seconds", 0.0)), because(event.value("reason", ""))),
          status == 0 ? Style::Plain : Style::Yellow};
}

EventRow started(const json& event) {
  return {0,
          fmt::format("{} started on {}{}", job_of(event), event.value("place", ""), because(event.value("why", ""))),
          Style::Green};
}

std::string submitted(const json& event) {
  if (event.contains("array"))
    return fmt::format("{} is task {} of array {}", job_of(event), event.value("index", 0L), event.value("array", 0L));
  return fmt::format("{} submitted: {}", job_of(event), event.value("spec", json::object()).value("name", ""));
}

std::string owner(const json& event) {
  return fmt::format("{} {} jobs of others (its own load is {:.2f})", event.value("node", ""),
                     event.value("accepts", true) ? "takes" : "takes no more", event.value("foreign_load", 0.0));
}

EventRow trouble(const json& event, const char* what) {
  return {0, fmt::format("{} {}{}", job_of(event), what, because(event.value("error", ""))), Style::Red};
}

std::optional<EventRow> of_job(const std::string& name, const json& event) {
  if (name == "migrated") return migrated(event);
  if (name == "started") return started(event);
  if (name == "ended") return ended(event);
  if (name == "submitted") return EventRow{0, submitted(event)};
  if (name == "queued") return EventRow{0, job_of(event) + " waits" + because(event.value("why", ""))};
  if (name == "failed") return trouble(event, "failed");
  if (name == "lost") return trouble(event, "is lost");
  if (name == "retrying")
    return EventRow{
        0,
        fmt::format("{} begins attempt {} of {} in {} s, after {}", job_of(event), event.value("attempt", 0),
                    event.value("attempts", 0), event.value("pause_s", 0), event.value("why", "")),
        Style::Yellow};
  if (name == "outdated")
    return EventRow{
        0,
        fmt::format("{}: attempt {} on {} is ended", job_of(event), event.value("attempt", 0), event.value("node", "")),
        Style::Yellow};
  if (name == "held")
    return EventRow{0, job_of(event) + " is held" + because(event.value("reason", "")), Style::Yellow};
  if (name == "released")
    return EventRow{0, job_of(event) + " is released" + because(event.value("reason", "")), Style::Green};
  if (name == "checkpoint" && !event.value("ok", true)) return trouble(event, "has no new image");
  if (name == "checkpoint")
    return EventRow{0, fmt::format("{} has a new image, {}: {}", job_of(event),
                                   format_kib(event.value("image_bytes", 0.0) / 1024), event.value("path", ""))};
  if (name == "time-limit") return EventRow{0, job_of(event) + ": its time is up", Style::Yellow};
  return std::nullopt;
}

std::optional<EventRow> of_node(const std::string& name, const json& event) {
  const std::string node = event.value("node", ""), who = event.value("who", "");
  if (name == "up") return EventRow{0, fmt::format("{} is up, in world {}", node, event.value("generation", 0))};
  if (name == "down") return EventRow{0, node + " ends"};
  if (name == "excluded") return EventRow{0, fmt::format("{} hears nothing of {}", node, who), Style::Red};
  if (name == "returned") return EventRow{0, fmt::format("{} hears of {} again", node, who), Style::Green};
  if (name == "owner") return EventRow{0, owner(event)};
  if (name == "drain") return EventRow{0, node + " is drained" + because(event.value("reason", "")), Style::Yellow};
  if (name == "undrain") return EventRow{0, node + " takes jobs again", Style::Green};
  return std::nullopt;
}

}  // namespace

std::optional<EventRow> event_row(const json& event) {
  const std::string name = event.value("event", "");
  auto row = of_job(name, event);
  if (!row) row = of_node(name, event);
  if (row) row->time_ns = event_time_ns(event);
  return row;
}

}  // namespace drover::top
