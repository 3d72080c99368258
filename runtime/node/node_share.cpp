// share: with whom a node shares its load, and what it makes of what it hears. On one level everybody is in one group.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/node/node.h"

namespace drover {

using nlohmann::json;

void Node::begin_sharing() {
  // All must divide the world alike.
  mpi::check(MPI_Bcast(&config_.two_level_above, 1, MPI_INT, 0, rounds_.get()), "MPI_Bcast");
  layout_ = lay_out_groups(size(), config_.two_level_above);
  exchange_ = std::make_unique<LoadExchange>(self(), size(), config_.times);
  membership_ =
      std::make_unique<Membership>(self(), layout_, MPI_COMM_WORLD, config_.suspect_after, membership_actions());
  std::vector<int> everyone(static_cast<std::size_t>(size()));
  std::iota(everyone.begin(), everyone.end(), 0);
  if (!layout_.two_level()) return exchange_->use(rounds_.get(), everyone);
  summaries_ = std::make_unique<SummaryExchange>(self(), layout_, config_.times);
  use_communicators(make_view_comms(MPI_COMM_WORLD, self(), layout_, everyone, 0), everyone);
}

void Node::use_communicators(const ViewComms& comms, const std::vector<int>& view) {
  if (!layout_.two_level()) return exchange_->use(comms.round, view);
  exchange_->use(comms.round, members_of_group(layout_, view, layout_.group_of(self())));
  summaries_->use(comms, view);
}

void Node::send_heartbeats() {
  const auto& own = exchange_->table()[static_cast<std::size_t>(self())].sample;
  const int group = layout_.group_of(self());
  for (int rank = layout_.first(group); rank < layout_.end(group); ++rank)
    if (rank != self()) doorbell_.send_heartbeat(rank, std::as_bytes(std::span(&own, 1)));
}

void Node::on_heartbeat(int rank, std::span<const std::byte> payload, std::uint64_t now_ns) {
  membership_->heard(rank, now_ns);
  if (!summaries_ || payload.size() != sizeof(LeaderBeat)) return exchange_->heard(rank, payload);
  LeaderBeat beat;
  std::memcpy(&beat, payload.data(), sizeof beat);
  if (!summaries_->heard(rank, beat, now_ns)) return;
  membership_->leader_heard(rank, from_words(beat.alive), now_ns);
  hear_of_group(layout_.group_of(rank));
}

// A leader's, when it is due. The heartbeats go after the round's message: they are its doorbells.
bool Node::share_summary(std::uint64_t now_ns) {
  if (!leads_group_ || now_ns < summaries_->next_due_ns(summary_told_ns_)) return false;
  summary_told_ns_ = now_ns;
  const int group = layout_.group_of(self());
  std::vector<bool> usable;
  for (int rank = layout_.first(group); rank < layout_.end(group); ++rank)
    usable.push_back(!lost(rank) && !exchange_->stale(rank, now_ns));
  LeaderBeat beat;
  beat.summary = summarize(layout_, self(), exchange_->table(), usable, now_ns, realtime_ns());
  beat.alive = to_words(membership_->watch()->own_group(now_ns));
  summaries_->post(beat.summary, now_ns);
  for (const int rank : membership_->watch()->leaders_to_tell(membership_->members(), now_ns))
    doorbell_.send_heartbeat(rank, std::as_bytes(std::span(&beat, 1)));
  return true;
}

bool Node::summaries_progress(std::uint64_t now_ns) {
  if (!summaries_) return false;
  const auto progress = summaries_->progress(now_ns);
  const int group = layout_.group_of(self());
  if (progress.spread)
    for (int rank = layout_.first(group); rank < layout_.end(group); ++rank)
      if (rank != self() && !lost(rank)) doorbell_.ring(rank);
  if (!progress.news) return false;
  for (int other = 0; other < layout_.groups; ++other) hear_of_group(other);
  if (!leaving_) pair_groups();
  return true;
}

void Node::hear_of_group(int group) {
  const auto& known = summaries_->known()[static_cast<std::size_t>(group)];
  if (group == layout_.group_of(self()) || known.true_ns == 0) return;
  std::vector<LoadEntry> listed;
  std::vector<int> ranks;
  for (const NotableNode& node : known.summary.notable) {
    if (node.rank < 0) continue;
    const std::uint64_t age_ns = std::min(known.true_ns - 1, std::uint64_t{node.age_ms} * 1'000'000);
    listed.push_back({node.sample, known.true_ns - age_ns, true, true});
    ranks.push_back(node.rank);
  }
  exchange_->heard_of(layout_.first(group), layout_.end(group), listed, ranks);
}

// The listed nodes of each other group count for all of it.
void Node::stand_for_groups(std::vector<NodeView>& views) const {
  if (!summaries_) return;
  for (int group = 0; group < layout_.groups; ++group) {
    if (group == layout_.group_of(self())) continue;
    std::vector<NodeView> listed;
    std::vector<std::size_t> at;
    for (int rank = layout_.first(group); rank < layout_.end(group); ++rank) {
      const auto i = static_cast<std::size_t>(rank);
      if (views[i].usable) listed.push_back(views[i]), at.push_back(i);
    }
    stand_for_group(listed, summaries_->known()[static_cast<std::size_t>(group)].summary.sums);
    for (std::size_t i = 0; i < at.size(); ++i) views[at[i]] = listed[i];
  }
}

// All know the same notable nodes of all groups now, and so the same pairs of them.
void Node::pair_groups() {
  const std::uint64_t now = monotonic_ns();
  std::vector<NodeView> table(static_cast<std::size_t>(size()));
  for (NodeView& view : table) view.usable = false;
  for (const auto& known : summaries_->known())
    for (const NotableNode& node : known.summary.notable)
      if (node.rank >= 0)
        table[static_cast<std::size_t>(node.rank)] =
            view_of(node.sample, !lost(node.rank) && !exchange_->stale(node.rank, now));
  give_to_pairs(table, 0);
}

json Node::describe_sharing() const {
  if (!summaries_) return {{"levels", 1}};
  return {{"levels", 2},
          {"group", layout_.group_of(self())},
          {"groups", layout_.groups},
          {"leads_group", membership_->watch()->leads(membership_->members(), monotonic_ns())},
          {"summary_rounds", summaries_->counts().rounds},
          {"late_summary_rounds", summaries_->counts().late},
          {"spreads", summaries_->spreads()}};
}

// What is known of each group as a whole; of the own one as its leader last said.
json Node::describe_groups() const {
  json groups = json::array();
  if (!summaries_) return groups;
  const std::uint64_t now = monotonic_ns();
  for (int group = 0; group < layout_.groups; ++group) {
    const auto& known = summaries_->known()[static_cast<std::size_t>(group)];
    json one = {{"group", group}, {"first", node_name(layout_.first(group))}, {"nodes", layout_.count(group)}};
    one["age_ms"] = known.true_ns == 0 ? -1.0 : static_cast<double>(now - std::min(now, known.true_ns)) / 1e6;
    if (known.true_ns != 0) {
      const GroupSums& sums = known.summary.sums;
      one.update({{"leader", node_name(known.summary.leader)},
                  {"members", sums.members},
                  {"free", sums.free},
                  {"busy", sums.busy},
                  {"jobs", sums.jobs},
                  {"movable_jobs", sums.movable},
                  {"capacity", sums.capacity},
                  {"demand", sums.load},
                  {"arrivals_per_second", sums.arrivals_per_second}});
    }
    groups.push_back(std::move(one));
  }
  return groups;
}

}  // namespace drover
