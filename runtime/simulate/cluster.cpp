#include "runtime/simulate/cluster.h"

#include <algorithm>
#include <numeric>

#include "runtime/policy/pair_up.h"
#include "runtime/policy/pull.h"
#include "runtime/simulate/simulator.h"

namespace drover::simulate {

class Cluster::Knowledge {
 public:
  Knowledge(Cluster& cluster, int node)
      : table_(cluster.tables_.of(node)), known_(cluster.known_[static_cast<std::size_t>(node)]) {
    // As in droverd, what a node has told counts only while it is also in the table.
    std::erase_if(known_, [&](const Entry& entry) {
      return entry.time < cluster.tables_.told(node, entry.rank) ||
             !table_[static_cast<std::size_t>(entry.rank)].usable;
    });
    swap();
  }
  Knowledge(const Knowledge&) = delete;
  ~Knowledge() { swap(); }

 private:
  void swap() {
    for (Entry& entry : known_) std::swap(table_[static_cast<std::size_t>(entry.rank)], entry.view);
  }
  std::vector<NodeView>& table_;
  Known& known_;
};

Cluster::Cluster(const Options& options)
    : options_(options),
      random_(options.seed ^ 0x5eed),
      tables_(options.central ? 1 : options.nodes,
              options.age_of_table == 0 ? options.nodes : options.two_level_above) {
  if (options.central) {
    stations_.emplace_back(options.discipline, options.speeds.front(), options.nodes);
  } else {
    for (int i = 0; i < options.nodes; ++i)
      stations_.emplace_back(options.discipline, options.speeds[static_cast<std::size_t>(i) % options.speeds.size()],
                             1);
  }
  rule_ = options.policy.rule;
  rule_.fixed_cost_seconds = options.cost;
  stamps_.resize(stations_.size());
  arrivals_.resize(stations_.size());
  coming_.resize(stations_.size());
  known_.resize(stations_.size());
  share_table(0);
}

NodeView Cluster::view(int node) const {
  const auto i = static_cast<std::size_t>(node);
  const Station& station = stations_[i];
  NodeView view;
  view.jobs = static_cast<int>(station.jobs()) + coming_[i];
  view.load = view.jobs;
  view.capacity = station.capacity();
  view.speed = station.speed();
  view.state = view.load < options_.threshold * view.capacity ? NodeState::Free : NodeState::Busy;
  view.movable = static_cast<int>(station.discipline() == Discipline::Fcfs ? station.waiting().size() : station.jobs());
  return view;
}

NodeView Cluster::told_view(int node, double now) const {
  NodeView told = view(node);
  told.arrivals_per_second = arrivals_[static_cast<std::size_t>(node)].per_second(now);
  return told;
}

void Cluster::tell(int node, double now) { tables_.tell(node, told_view(node, now), now); }

void Cluster::share_table(double now) {
  tables_.round([&](int node) { return told_view(node, now); }, now);
}

// What `node` believes of `rank` when it asks it.
void Cluster::note_age(int node, int rank, double now) {
  double time = tables_.told(node, rank);
  for (const Entry& entry : known_[static_cast<std::size_t>(node)])
    if (entry.rank == rank) time = std::max(time, entry.time);
  const double age = options_.age_of_table == 0 ? 0 : now - time;
  ++counts_.ages;
  counts_.sum_of_ages += age;
  counts_.worst_age = std::max(counts_.worst_age, age);
}

void Cluster::changed(int node, double now) {
  ++stamps_[static_cast<std::size_t>(node)];
  refresh(node, now);
}

void Cluster::refresh(int node, double now) {
  if (options_.age_of_table == 0) return tell(node, now);
  if (!options_.policy.policy.announces) return;
  if (view(node).state == tables_.of(node)[static_cast<std::size_t>(node)].state) return;
  tell(node, now);
  ++counts_.announcements;
}

void Cluster::learn(int node, int rank, double now) {
  if (options_.age_of_table == 0) return;
  auto& known = known_[static_cast<std::size_t>(node)];
  const auto same = [rank](const Entry& entry) { return entry.rank == rank; };
  if (const auto it = std::find_if(known.begin(), known.end(), same); it != known.end())
    *it = {rank, view(rank), now};
  else
    known.push_back({rank, view(rank), now});
}

int Cluster::ask(const Placement& placement, int self, double time) {
  std::vector<Answer> answers;
  const bool blind =
      options_.policy.policy.placing == Placing::Random || options_.policy.policy.placing == Placing::BestOf;
  for (const Ask& asked : placement.ask) {
    const NodeView now = view(asked.rank);
    note_age(self, asked.rank, time);
    if (blind) return asked.rank;
    ++counts_.probes;
    if (admits(now, asked.terms)) return asked.rank;
    answers.push_back({asked.rank, now});
    learn(self, asked.rank, time);
  }
  return placement.best_answer ? choose_answer(view(self), answers).value_or(self) : self;
}

int Cluster::arrive(std::int64_t job, const Arrival& arrival, double now) {
  const int self = options_.central ? 0 : arrival.node;
  arrivals_[static_cast<std::size_t>(self)].arrived(now);
  Placement placement;
  {
    const Knowledge knowledge(*this, self);
    placement = place(options_.policy, self, view(self), tables_.of(self), random_());
  }
  const int node = ask(placement, self, now);
  station(node).add(job, arrival.work, 0, now);
  changed(node, now);
  if (node != self) {
    ++counts_.placements;
    if (options_.policy.policy.placing == Placing::Confirmed) learn(self, node, now);
  }
  return node;
}

std::vector<Candidate> Cluster::candidates(int node, double now) const {
  const Station& station = stations_[static_cast<std::size_t>(node)];
  std::vector<Candidate> all;
  const auto add = [&](const Resident& resident, bool started) {
    Candidate candidate;
    candidate.job = resident.job;
    candidate.age_seconds = station.done(resident);
    candidate.here_seconds = now - resident.came;
    candidate.started = started;
    candidate.moved = resident.done > 0;
    all.push_back(candidate);
  };
  if (station.discipline() == Discipline::Fcfs) {
    for (const Resident& resident : station.waiting()) add(resident, options_.cost > 0);
  } else {
    for (const Resident& resident : station.serving()) add(resident, true);
  }
  return all;
}

bool Cluster::give(int from, int to, double now, std::vector<Move>& moves) {
  station(from).advance(now);
  const auto choice = choose_migrant(candidates(from, now), view(from), view(to), tables_.of(from), rule_);
  if (!choice) return false;
  moves.push_back({from, to, station(from).take(choice->job), choice->cost_seconds});
  ++coming_[static_cast<std::size_t>(to)];
  ++counts_.migrations;
  changed(from, now);
  refresh(to, now);
  return true;
}

std::vector<Move> Cluster::pull(int node, double now, bool just_ended) {
  std::vector<Move> moves;
  if (options_.policy.policy.pulling == Pulling::No || (just_ended && station(node).jobs() > 0)) return moves;
  const NodeView own = view(node);
  if (own.state != NodeState::Free) return moves;
  std::vector<int> givers;
  {
    const Knowledge knowledge(*this, node);
    givers = choose_givers(options_.policy, node, own, tables_.of(node), random_());
  }
  for (const int giver : givers) {
    ++counts_.probes;
    note_age(node, giver, now);
    if (give(giver, node, now, moves)) break;
    learn(giver, node, now);
    learn(node, giver, now);
  }
  return moves;
}

void Cluster::pair_in(int first, std::span<const NodeView> table, double now, std::vector<Move>& moves) {
  for (const Pair& pair : pair_up(options_.policy, table)) {
    ++counts_.probes;
    give(first + pair.sender, first + pair.receiver, now, moves);
  }
}

// In each group, as it knows itself; then among the notable nodes of all, of which all know the same.
std::vector<Move> Cluster::pair(double now) {
  std::vector<Move> moves;
  const GroupLayout& layout = tables_.layout();
  for (int group = 0; group < layout.groups; ++group) {
    const int first = layout.first(group);
    pair_in(first,
            std::span(tables_.of(first))
                .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(layout.count(group))),
            now, moves);
  }
  if (layout.two_level()) pair_in(0, tables_.notable(), now, moves);
  return moves;
}

void Cluster::finish(const Move& move, double now) {
  --coming_[static_cast<std::size_t>(move.to)];
  station(move.to).add(move.job.job, move.job.left, move.job.done, now);
  changed(move.to, now);
}

double Cluster::busy_seconds() const {
  double sum = 0;
  for (const Station& station : stations_) sum += station.busy_seconds();
  return sum;
}

double Cluster::processors() const {
  double sum = 0;
  for (const Station& station : stations_) sum += station.capacity();
  return sum;
}

}  // namespace drover::simulate
