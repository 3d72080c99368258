// The nodes of a simulation, what they know of each other, and what the policies make of it.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/policy/arrival_rate.h"
#include "runtime/policy/migrant.h"
#include "runtime/policy/place.h"
#include "runtime/policy/random.h"
#include "runtime/policy/view.h"
#include "runtime/simulate/shared_tables.h"
#include "runtime/simulate/station.h"
#include "runtime/simulate/workload.h"

namespace drover::simulate {

struct Options;

struct Move {
  int from = 0, to = 0;
  Resident job;
  double cost = 0;
};

struct Counts {
  std::uint64_t probes = 0, placements = 0, migrations = 0, announcements = 0;
  // Of what was believed of the nodes that were asked: for how many seconds it had been so.
  std::uint64_t ages = 0;
  double sum_of_ages = 0, worst_age = 0;
};

class Cluster {
 public:
  explicit Cluster(const Options& options);

  int size() const { return static_cast<int>(stations_.size()); }
  Station& station(int node) { return stations_[static_cast<std::size_t>(node)]; }
  // Changes whenever jobs of the node do: what was planned for it before is void.
  std::uint64_t stamp(int node) const { return stamps_[static_cast<std::size_t>(node)]; }
  void changed(int node, double now);
  void refresh(int node, double now);  // what the table tells of it, if that is always true, or if it is announced

  // Places a job and returns where.
  int arrive(std::int64_t job, const Arrival& arrival, double now);
  // A FREE node asks for a job: when it has just ended one, and in every round.
  std::vector<Move> pull(int node, double now, bool just_ended);
  // The pairs of a round.
  std::vector<Move> pair(double now);
  void finish(const Move& move, double now);
  void share_table(double now);  // a round: what everybody knows is what is true now, as far as the levels let it

  const Counts& counts() const { return counts_; }
  const GroupLayout& layout() const { return tables_.layout(); }
  double busy_seconds() const;
  double processors() const;

 private:
  struct Entry {
    int rank;
    NodeView view;
    double time;
  };
  using Known = std::vector<Entry>;  // what one node knows of others; counts while it is newer than the table

  NodeView view(int node) const;
  NodeView told_view(int node, double now) const;
  void note_age(int node, int rank, double now);
  void pair_in(int first, std::span<const NodeView> table, double now, std::vector<Move>& moves);
  int ask(const Placement& placement, int self, double now);
  void learn(int node, int rank, double now);  // `node` has just heard of `rank`
  void tell(int node, double now);             // everybody
  bool give(int from, int to, double now, std::vector<Move>& moves);
  std::vector<Candidate> candidates(int node, double now) const;
  // The table as one node knows it, put back as it was at the end of the scope.
  class Knowledge;

  const Options& options_;
  Random random_;
  std::vector<Station> stations_;
  std::vector<std::uint64_t> stamps_;
  std::vector<ArrivalRate> arrivals_;
  MigrationRule rule_;
  std::vector<int> coming_;  // jobs on their way to each node
  SharedTables tables_;
  std::vector<Known> known_;
  Counts counts_;
};

}  // namespace drover::simulate
