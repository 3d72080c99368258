// sample → share → decide: a node's own load, what it knows of others, and what the policies make of it.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "runtime/load/cgroup.h"
#include "runtime/node/node.h"
#include "runtime/policy/decision_log.h"
#include "runtime/policy/pair_up.h"
#include "runtime/policy/pull.h"

namespace drover {

using nlohmann::json;

namespace {
constexpr auto kPullDeadline = std::chrono::milliseconds(500);
}  // namespace

Share Node::deal_pus() const {
  Share share = deal(topology_.core_pus(), topology_.allowed(), info_.local_rank, info_.local_ranks);
  // The ranks of one host share what its cgroup leaves them.
  if (const auto quota = cpu_quota()) share.capacity = std::min(share.capacity, *quota / info_.local_ranks);
  return share;
}

// The cgroup that this node measures instead of the host: where the host is not its own, or a quota leaves it less.
std::optional<Cgroup> Node::counted_group() const {
  const bool has_quota = share_.capacity < static_cast<double>(share_.pus.size());
  return info_.own_cpu_group && (shared_host() || has_quota) ? cpu_group() : std::nullopt;
}

void Node::take_sample() {
  oom_kills_.sample();
  const auto inits = placed_->init_pids();
  for (const auto& [init, cpu_seconds] : placed_->take_ended()) sampler_->job_ended(init, cpu_seconds);
  LoadSample sample = sampler_->sample(realtime_ns(), monotonic_ns(), inits);
  sample.capacity = static_cast<float>(share_.capacity);
  sample.speed = static_cast<float>(marks_.speed);
  placed_->measured(sampler_->runnable());
  const auto& before = exchange_->table()[static_cast<std::size_t>(self())].sample;
  foreign_.measured(static_cast<double>(sample.foreign_run_queue) * share_.capacity, monotonic_ns());
  sample.flags = owner_flags(config_.owner, foreign_.recent() / share_.capacity, before.flags);
  if (sample.flags != (before.flags & ~kDraining))
    log_event(json{{"event", "owner"},
                   {"foreign_load", foreign_.recent() / share_.capacity},
                   {"accepts", (sample.flags & kNoForeignJobs) == 0},
                   {"foreign_jobs_leave", (sample.flags & kForeignJobsLeave) != 0}}
                  .dump());
  sample.arrivals_per_second = static_cast<float>(arrivals_.per_second(static_cast<double>(monotonic_ns()) / 1e9));
  exchange_->set_own(as_of_now(sample));
}

// A node whose PUs are shared with others takes one job all the same.
int Node::slots() const {
  if (config_.jobs_per_pu == 0) return 0;
  constexpr double kRounding = 1e-6;
  return static_cast<int>(std::clamp(share_.capacity * config_.jobs_per_pu + kRounding, 1.0, double{kManyPus - 1}));
}

// A sample, with the jobs as they are at this moment.
LoadSample Node::as_of_now(LoadSample sample) const {
  sample.jobs = sample.foreign_jobs = sample.movable_jobs = 0;
  for (const auto& [id, job] : placed_->all()) {
    ++sample.jobs;
    if (job.facts.origin != self_name()) ++sample.foreign_jobs;
  }
  for (const auto& [id, job] : placed_->all())
    if (may_give(job, sample.flags, sample.foreign_jobs > 0) && job.facts.pinned.empty()) ++sample.movable_jobs;
  sample.flags =
      static_cast<std::uint8_t>(leaving_ || drain_.on ? sample.flags | kDraining : sample.flags & ~kDraining);
  sample.demand = static_cast<float>(placed_->demand() + foreign_.lasting());
  sample.slots = static_cast<std::uint16_t>(slots());
  sample.free_slots = static_cast<std::uint16_t>(std::max(0, slots() - placed_->cpus()));
  sample.state = with_demand(sample, static_cast<double>(sample.demand), marks_.marks).state;
  return sample;
}

NodeView Node::own_view() const {
  return view_of(as_of_now(exchange_->table()[static_cast<std::size_t>(self())].sample), true);
}

// What nodes have told of themselves in answers counts until their next sample.
std::vector<NodeView> Node::view_table() const {
  std::vector<NodeView> views;
  views.reserve(static_cast<std::size_t>(size()));
  const std::uint64_t now = monotonic_ns();
  for (int rank = 0; rank < size(); ++rank) {
    const LoadEntry& entry = exchange_->table()[static_cast<std::size_t>(rank)];
    const bool usable = !lost(rank) && !exchange_->stale(rank, now);
    views.push_back(view_of(entry.sample, usable));
    const Heard& heard = heard_[static_cast<std::size_t>(rank)];
    if (heard.ns <= entry.received_ns) continue;
    views.back() = heard.view;
    views.back().usable = usable;
  }
  stand_for_groups(views);
  views[static_cast<std::size_t>(self())] = own_view();
  return views;
}

void Node::heard(int rank, const NodeView& view) { heard_[static_cast<std::size_t>(rank)] = {view, monotonic_ns()}; }

// What the queue of this node's jobs looks at: where a job could start at all.
std::vector<NodeView> Node::places() const {
  auto table = view_table();
  const bool only_here = config_.policy.policy.placing == Placing::Here && !own_view().draining;
  for (int rank = 0; rank < size(); ++rank) {
    NodeView& node = table[static_cast<std::size_t>(rank)];
    if (only_here && rank != self()) node.accepts = false;
    if (leaving_) node.usable = false;
  }
  return table;
}

Placement Node::decide_place(std::int64_t job, const Need& need, const std::vector<NodeView>& table) {
  const std::uint64_t seed = random_();
  const NodeView& own = table[static_cast<std::size_t>(self())];
  Placement placement = place(config_.policy, self(), own, table, seed, need);
  log_event(record_place(config_.policy, job, self(), own, table, seed, need, placement).dump());
  return placement;
}

PlacementView Node::placement_view() {
  PlacementView view;
  view.decide = [this](std::int64_t job, const Need& need, const std::vector<NodeView>& table) {
    return decide_place(job, need, table);
  };
  view.own = [this] { return own_view(); };
  view.table = [this] { return places(); };
  view.heard = [this](int rank, const NodeView& now) { heard(rank, now); };
  view.reserve_here = [this](std::int64_t job, int cpus) { placed_->reserve(job, cpus); };
  view.arrived = [this] { arrivals_.arrived(static_cast<double>(monotonic_ns()) / 1e9); };
  view.lost_after = config_.lost_after;
  view.keep_finished = config_.keep_finished;
  return view;
}

static std::string why_not(const std::string& name, const NodeView& now, const Need& need) {
  if (now.draining) return name + " is draining";
  if (now.free_slots < need.cpus) return fmt::format("{} has {} of {} PUs free", name, now.free_slots, now.slots);
  if (!fits(now, need)) return fmt::format("{} has {} MiB of memory available", name, now.memory_available_kib / 1024);
  return fmt::format("{} is {}", name, state_name(now.state));
}

void Node::on_reserve(int from, const Reserve& reserve) {
  const NodeView now = own_view();
  const PlacedJob* held = placed_->find(reserve.job);
  const bool already = held != nullptr && held->reserved;  // the first answer came too late
  const bool accepted = !leaving_ && (already || admits(now, reserve.terms));
  if (accepted) placed_->reserve(reserve.job, reserve.terms.need.cpus);
  send(from, Msg::ReserveReply,
       ReserveReply{reserve.job, accepted, accepted ? "" : why_not(self_name(), now, reserve.terms.need), own_view()});
}

// A FREE node asks others for a running job: one at a time, so that several givers don't fill it at once.
void Node::pull() {
  if (leaving_ || drain_.on || incoming_->any() || !givers_.empty()) return;
  const auto table = view_table();
  const std::uint64_t seed = random_();
  givers_ = choose_givers(config_.policy, self(), own_view(), table, seed);
  if (givers_.empty()) return;
  std::reverse(givers_.begin(), givers_.end());
  ask_next_giver();
}

void Node::ask_next_giver() {
  if (givers_.empty() || incoming_->any()) return givers_.clear();
  const int rank = givers_.back();
  send(rank, Msg::PullAsk, PullAsk{own_view()});
  loop_.after(kPullDeadline, [this, rank] {
    if (!givers_.empty() && givers_.back() == rank) givers_.clear();
  });
}

void Node::on_pull_reply(int from, const PullReply& reply) {
  heard(from, sane(reply.now));
  if (givers_.empty() || givers_.back() != from) return;
  givers_.pop_back();
  if (reply.given) return givers_.clear();
  ask_next_giver();
}

// While foreign jobs are to leave they alone go. A node that never takes any gives its own by the usual rules.
bool Node::may_give(const PlacedJob& job, std::uint8_t flags, bool foreign_jobs_here) const {
  if (job.stage != shepherd::Stage::Running || job.moving_out || job.holding || job.checkpoint) return false;
  if (drain_.on) return may_drain_now(job.facts.job);
  if ((flags & kForeignJobsLeave) == 0 || leaving_ || job.facts.origin != self_name()) return true;
  return config_.owner.accept == Accept::Never && !foreign_jobs_here;
}

std::vector<Candidate> Node::candidates(int to) {
  std::vector<Candidate> all;
  const auto own = as_of_now(exchange_->table()[static_cast<std::size_t>(self())].sample);
  const bool can_run_there = lacks(to).empty();
  const std::uint64_t now = realtime_ns();
  const double seconds = static_cast<double>(monotonic_ns()) / 1e9;
  for (auto& [id, job] : placed_->all()) {
    if (!may_give(job, own.flags, own.foreign_jobs > 0)) continue;
    Candidate candidate;
    candidate.job = id;
    candidate.age_seconds = job.cpu_seconds * static_cast<double>(own.speed);
    const std::uint64_t arrived = job.facts.arrived_ns;
    candidate.here_seconds = arrived == 0 || arrived > now ? 0.0 : static_cast<double>(now - arrived) / 1e9;
    candidate.movable = job.facts.pinned.empty() && can_run_there;
    candidate.moved = job.facts.moves > 0;
    if (candidate.movable) {
      const MemoryHeld& memory = job.holdings.memory;
      candidate.resident_kib = memory.resident_kib();
      candidate.swapped_kib = memory.swapped_kib;
      const double zeros = placed_->zero_share(job) * static_cast<double>(memory.anonymous_kib);
      candidate.unsent_kib = memory.file_kib + static_cast<std::uint64_t>(zeros);
      candidate.files = job.holdings.files;
      candidate.connections = job.holdings.connections;
    }
    const double streams = job.stream_bytes.per_second(seconds);
    if (job.facts.origin == self_name()) candidate.more_bytes_per_second = streams;
    if (job.facts.origin == node_name(to)) candidate.more_bytes_per_second = -streams;
    all.push_back(candidate);
  }
  return all;
}

bool Node::give(int to, const NodeView& destination, const char* why) {
  return give(to, destination, why, candidates(to));
}

bool Node::give(int to, const NodeView& destination, const char* why, const std::vector<Candidate>& jobs) {
  if (outgoing_->any()) return false;
  MigrationRule rule = config_.policy.rule;
  if (const double speed = links_->get(to); speed > 0) rule.bytes_per_second = speed;
  const auto table = view_table();
  const NodeView own = own_view();
  const auto choice = choose_migrant(jobs, own, destination, table, rule);
  if (!choice) return false;
  log_event(record_give(rule, jobs, own, to, destination, table, *choice).dump());
  outgoing_->begin(self(), MoveRequest{choice->job, to, drain_.on ? watch_drain_move(choice->job) : 0, why});
  return true;
}

void Node::on_pull_ask(int from, const PullAsk& ask) {
  const NodeView asker = sane(ask.asker);
  heard(from, asker);
  const bool given =
      !leaving_ && config_.policy.migrate && give(from, asker, fmt::format("{} was FREE", node_name(from)).c_str());
  send(from, Msg::PullReply, PullReply{given, own_view()});
}

// Everyone (of the group, on two levels) has the same table now, and so the same pairs.
void Node::pair() {
  const std::uint64_t now = monotonic_ns();
  const int group = layout_.group_of(self());
  std::vector<NodeView> table;
  for (int rank = layout_.first(group); rank < layout_.end(group); ++rank)
    table.push_back(view_of(exchange_->table()[static_cast<std::size_t>(rank)].sample,
                            !lost(rank) && !exchange_->stale(rank, now)));
  give_to_pairs(table, layout_.first(group));
}

// `table` begins with rank `first`.
void Node::give_to_pairs(const std::vector<NodeView>& table, int first) {
  for (const Pair& pair : pair_up(config_.policy, table)) {
    if (first + pair.sender != self()) continue;
    const NodeView& receiver = table[static_cast<std::size_t>(pair.receiver)];
    const int rank = first + pair.receiver;
    give(rank, receiver, fmt::format("paired with {}", node_name(rank)).c_str());
  }
  if (own_view().leaving) send_home();
}

// Foreign jobs that nobody else takes: their own node has to.
void Node::send_home() {
  if (!config_.policy.migrate) return;
  const auto table = view_table();
  if (std::any_of(table.begin(), table.end(), [](const NodeView& node) { return node.usable && node.accepts; })) return;
  std::set<int> homes;
  for (const auto& [id, job] : placed_->all())
    if (const int home = rank_of(job.facts.origin); home >= 0 && home != self()) homes.insert(home);
  for (const int home : homes) {
    const NodeView& there = table[static_cast<std::size_t>(home)];
    if (!there.usable || there.draining) continue;
    std::vector<Candidate> jobs = candidates(home);
    std::erase_if(jobs, [&](const Candidate& job) {
      const PlacedJob* placed = placed_->find(job.job);
      return placed == nullptr || rank_of(placed->facts.origin) != home;
    });
    if (give(home, there, "nobody else takes it", jobs)) return;
  }
}

// A node that has turned FREE, or no longer is, says so at once: what others know of it is a round old else. On two
// levels only to its group, whose leader passes it on with the next summary: told to everybody, the announcements of
// thousands of nodes would be most of what each of them has to read.
void Node::announce() {
  if (!config_.policy.policy.announces || !exchange_->first_round_done()) return;
  const LoadSample before = exchange_->table()[static_cast<std::size_t>(self())].sample;
  LoadSample now = as_of_now(before);
  if (before.state == now.state) return;
  now.taken_ns = realtime_ns();
  exchange_->set_own(now);
  send_heartbeats();
  if (now.state == NodeState::Free) pull();
}

// What this node can't take, said before the first page is sent.
std::optional<std::string> Node::refuse_offer(const MoveOffer& offer) {
  if (leaving_) return self_name() + " is going down";
  if (drain_.on) return fmt::format("{} is draining; see drover undrain", self_name());
  if (!placed_->no_namespaces_reason().empty()) return "no namespaces there: " + placed_->no_namespaces_reason();
  const auto& own = exchange_->table()[static_cast<std::size_t>(self())].sample;
  if (own.memory_available_kib != 0 && offer.resident_kib > own.memory_available_kib)
    return fmt::format("the job holds {} MiB, {} are free there", offer.resident_kib / 1024,
                       own.memory_available_kib / 1024);
  const NodeView now = own_view(), source = sane(offer.source);
  if (offer.asked) return std::nullopt;
  if (offer.facts.origin == self_name() && source.leaving) return std::nullopt;  // it comes home
  if (!now.accepts) return self_name() + " takes no jobs of other nodes now";
  if (!source.leaving && delay_added(source, source.load) <= delay_added(now, now.load + 1))
    return fmt::format("{} is no better place by now", self_name());
  return std::nullopt;
}

}  // namespace drover
