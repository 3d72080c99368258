#include "launcher/top/requests.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "launcher/table.h"

namespace drover::top {

using nlohmann::json;

namespace {

Outcome outcome_of_move(const json& report) {
  const std::string way =
      fmt::format("job {}: {} -> {}", report.value("job", 0L), report.value("from", ""), report.value("to", ""));
  if (!report.value("ok", true))
    return {fmt::format("{}: not moved: {}; it runs on where it was", way, report.value("error", "")), false};
  return {fmt::format("{}: frozen {:.1f} ms, image {}", way, report.value("frozen_ms", 0.0),
                      format_kib(report.value("image_bytes", 0.0) / 1024))};
}

Outcome outcome_of_drain(const std::string& node, const json& nodes) {
  std::size_t jobs = 0;
  for (const json& entry : nodes) jobs += entry.value("jobs", json::array()).size();
  if (jobs == 0) return {node + " takes no more jobs, and has none"};
  return {fmt::format("{} takes no more jobs; {} {} still there", node, jobs, jobs == 1 ? "is" : "are")};
}

}  // namespace

json request_of(const Action& action) {
  switch (action.kind) {
    case Action::Kind::Move:
      return {{"op", "migrate"}, {"job", action.job}, {"node", action.node}};
    case Action::Kind::Kill:
      return {{"op", "kill"}, {"job", action.job}, {"signal", action.signal}};
    case Action::Kind::Hold:
    case Action::Kind::Release:
      return {{"op", "hold"}, {"job", action.job}, {"set", action.kind == Action::Kind::Hold}};
    case Action::Kind::Drain:
    case Action::Kind::Undrain: {
      const bool on = action.kind == Action::Kind::Drain;
      return {{"op", "drain"}, {"nodes", {action.node}}, {"set", on}, {"reason", on ? "asked for in drover top" : ""}};
    }
    default:
      return json::object();
  }
}

std::string waiting_text(const Action& action) {
  switch (action.kind) {
    case Action::Kind::Move:
      return fmt::format("job {}: moving to {} ...", action.job, action.node);
    case Action::Kind::Kill:
      return fmt::format("job {}: sending SIG{} ...", action.job, ::sigabbrev_np(action.signal));
    case Action::Kind::Hold:
      return fmt::format("job {}: holding it ...", action.job);
    case Action::Kind::Release:
      return fmt::format("job {}: releasing it ...", action.job);
    case Action::Kind::Drain:
      return fmt::format("{}: draining ...", action.node);
    case Action::Kind::Undrain:
      return fmt::format("{}: taking it back ...", action.node);
    default:
      return "";
  }
}

Outcome outcome_of(const Action& action, const json& reply) {
  switch (action.kind) {
    case Action::Kind::Move:
      return outcome_of_move(reply.at("report"));
    case Action::Kind::Kill:
      return {fmt::format("job {}: SIG{} is sent", action.job, ::sigabbrev_np(action.signal))};
    case Action::Kind::Hold:
      return {fmt::format("job {} is held", action.job)};
    case Action::Kind::Release:
      return {fmt::format("job {} is released", action.job)};
    case Action::Kind::Drain:
      return outcome_of_drain(action.node, reply.at("nodes"));
    case Action::Kind::Undrain:
      return {action.node + " takes jobs again"};
    default:
      return {};
  }
}

}  // namespace drover::top
