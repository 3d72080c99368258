// sample → share → decide: a node's own load, what it thinks of itself, and what it asks of others.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>

#include "runtime/load/cgroup.h"
#include "runtime/node/node.h"

namespace drover {

using nlohmann::json;

namespace {
// A job younger than this may not show in the load sample yet.
constexpr auto kUnseen = std::chrono::milliseconds(1500);
}  // namespace

Share Node::deal_pus() const {
  Share share = deal(topology_.core_pus(), topology_.allowed(), info_.local_rank, info_.local_ranks);
  // The ranks of one host share what its cgroup leaves them.
  if (const auto quota = cpu_quota()) share.capacity = std::min(share.capacity, *quota / info_.local_ranks);
  return share;
}

void Node::take_sample() {
  const auto inits = placed_->init_pids();
  LoadSample sample = sampler_->sample(realtime_ns(), monotonic_ns(), inits);
  sample.capacity = static_cast<float>(share_.capacity);
  sample.speed = static_cast<float>(marks_.speed);
  sample.state = classify(sample, marks_.marks);
  for (const auto& [id, job] : placed_->all()) {
    ++sample.jobs;
    if (job.facts.origin != self_name()) ++sample.foreign_jobs;
    if (job.stage == shepherd::Stage::Running && job.facts.pinned.empty()) ++sample.movable_jobs;
  }
  if (leaving_) sample.draining = 1;
  last_sample_ns_ = monotonic_ns();
  exchange_->set_own(sample);
}

NodeState Node::state_now() const {
  const auto& own = exchange_->table()[static_cast<std::size_t>(self())].sample;
  return expected_state(own, marks_.marks, placed_->recent(kUnseen));
}

std::vector<NodeView> Node::view_table() const {
  std::vector<NodeView> views;
  views.reserve(static_cast<std::size_t>(size()));
  const std::uint64_t now = monotonic_ns();
  for (int rank = 0; rank < size(); ++rank)
    views.push_back(
        {exchange_->table()[static_cast<std::size_t>(rank)].sample, !lost(rank) && !exchange_->stale(rank, now)});
  return views;
}

void Node::on_reserve(int from, const Reserve& reserve) {
  const NodeState state = state_now();
  const bool accepted = !leaving_ && (state == NodeState::Free || !reserve.only_if_free);
  if (accepted) placed_->reserve(reserve.job);
  send(from, Msg::ReserveReply,
       ReserveReply{reserve.job, accepted, accepted ? "" : fmt::format("{} is {}", self_name(), state_name(state))});
}

// A FREE node asks a BUSY one for a running job: one at a time, so that several givers don't fill it at once.
void Node::pull() {
  if (!config_.pull || incoming_->any() || state_now() != NodeState::Free) return;
  const auto busy = choose_busy(view_table(), self(), 1, random_);
  if (busy.empty()) return;
  const auto& own = exchange_->table()[static_cast<std::size_t>(self())].sample;
  send(busy.front(), Msg::PullAsk,
       PullAsk{static_cast<std::int32_t>(placed_->count()), share_.capacity, own.memory_available_kib});
}

void Node::on_pull_ask(int from, const PullAsk& ask) {
  if (leaving_ || outgoing_->any() || state_now() != NodeState::Busy) return;
  std::vector<Candidate> candidates;
  const std::uint64_t now = realtime_ns();
  const auto since = [&](std::uint64_t then) {
    return then == 0 || then > now ? 0.0 : static_cast<double>(now - then) / 1e9;
  };
  for (const auto& [id, job] : placed_->all()) {
    if (job.stage != shepherd::Stage::Running || job.moving_out) continue;
    candidates.push_back(
        {id, since(job.facts.started_ns), since(job.facts.arrived_ns), job.resident_kib, job.facts.pinned.empty()});
  }
  MigrationRule rule = config_.migration;
  if (const double speed = links_->get(from); speed > 0) rule.bytes_per_second = speed;
  const NodeCount here{static_cast<int>(placed_->count()), share_.capacity};
  const NodeCount there{ask.jobs, ask.capacity};
  const auto choice = choose_migrant(candidates, here, there, ask.memory_available_kib, rule);
  json table = json::array();
  for (const auto& candidate : candidates)
    table.push_back({{"job", candidate.job},
                     {"age", candidate.age_seconds},
                     {"here", candidate.here_seconds},
                     {"resident_kib", candidate.resident_kib},
                     {"movable", candidate.movable}});
  if (!choice) return;
  log_event(json{
      {"event", "decided"},
      {"job", choice->job},
      {"to", node_name(from)},
      {"cost_seconds", choice->cost_seconds},
      {"needed_age_seconds", choice->needed_age_seconds},
      {"jobs_here", here.jobs},
      {"jobs_there", there.jobs},
      {"candidates",
       table}}.dump());
  outgoing_->begin(
      self(), MoveRequest{choice->job, from, 0, fmt::format("{} was FREE and {} BUSY", node_name(from), self_name())});
}

// What this node can't take, said before the first page is sent.
std::optional<std::string> Node::refuse_offer(const MoveOffer& offer) {
  if (leaving_) return self_name() + " is going down";
  if (!placed_->no_namespaces_reason().empty()) return "no namespaces there: " + placed_->no_namespaces_reason();
  const auto& own = exchange_->table()[static_cast<std::size_t>(self())].sample;
  if (own.memory_available_kib != 0 && offer.resident_kib > own.memory_available_kib)
    return fmt::format("the job holds {} MiB, {} are free there", offer.resident_kib / 1024,
                       own.memory_available_kib / 1024);
  if (!offer.asked && state_now() != NodeState::Free)
    return fmt::format("{} is {} by now", self_name(), state_name(state_now()));
  return std::nullopt;
}

}  // namespace drover
