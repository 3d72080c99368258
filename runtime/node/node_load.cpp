// What a node tells of its own load beyond the sample that everybody has: its watermarks and where they come from, and
// the details that are never sent.
#include <spdlog/spdlog.h>

#include "runtime/node/node.h"

namespace drover {

using nlohmann::json;

namespace {

json pressure_json(const Pressures& pressures) {
  json out = json::object();
  const auto line = [](const PressureLine& of) {
    return json{{"avg10", of.avg10}, {"avg60", of.avg60}, {"avg300", of.avg300}, {"total_us", of.total_us}};
  };
  for (std::size_t i = 0; i < kResources; ++i) {
    if (!pressures[i]) continue;
    json& resource = out[resource_name(static_cast<Resource>(i))];
    resource["some"] = line(pressures[i]->some);
    if (pressures[i]->full) resource["full"] = line(*pressures[i]->full);
  }
  return out;
}

json detail_json(const LoadDetail& detail) {
  json out = json::object();
  if (detail.cpu)
    out["cpu"] = {{"user", detail.cpu->user},
                  {"nice", detail.cpu->nice},
                  {"system", detail.cpu->system},
                  {"iowait", detail.cpu->iowait},
                  {"steal", detail.cpu->steal}};
  if (detail.blocks) out["blocks_per_second"] = {{"read", detail.blocks->read}, {"written", detail.blocks->written}};
  if (detail.pages)
    out["pages_per_second"] = {{"in_kib", detail.pages->in_kib},
                               {"out_kib", detail.pages->out_kib},
                               {"swapped_in", detail.pages->swapped_in},
                               {"swapped_out", detail.pages->swapped_out},
                               {"major_faults", detail.pages->major_faults}};
  if (detail.forks_per_second) out["forks_per_second"] = *detail.forks_per_second;
  if (detail.processes) out["processes"] = *detail.processes;
  if (detail.threads) out["threads"] = *detail.threads;
  if (detail.blocked) out["blocked_threads"] = *detail.blocked;
  out["pressure"] = pressure_json(detail.pressure);
  out["cgroup_pressure"] = pressure_json(detail.cgroup_pressure);
  if (detail.memory_limit)
    out["cgroup_memory"] = {{"limit_kib", detail.memory_limit->limit_kib}, {"used_kib", detail.memory_limit->used_kib}};
  return out;
}

}  // namespace

void Node::choose_watermarks() {
  std::string warning;
  const auto calibration = calibration_of_this_host(warning);
  marks_ = choose_marks(share_.capacity, shared_host(), calibration, config_.text, config_.path);
  for (const std::string& text : {warning, marks_.warning})
    if (!text.empty()) spdlog::warn("{}", text);
}

json Node::describe_own_load() const {
  json marks = json::object();
  for (std::size_t i = 0; i < kFactors; ++i) {
    const Watermark& mark = marks_.marks.factors[i];
    marks[std::string(factor_name(static_cast<Factor>(i)))] = {
        {"low", mark.low}, {"high", mark.high}, {"weight", mark.weight}, {"from", marks_.from[i]}};
  }
  return {{"watermarks", marks}, {"detail", detail_json(sampler_->detail())}};
}

}  // namespace drover
