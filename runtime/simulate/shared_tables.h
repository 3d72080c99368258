// What the nodes of a simulation share of themselves in rounds: one table of all, or, on two levels, one for each group
// with all of its own nodes and the notable ones of others (policy/notable.h).
//
// What another group's leader tells at a round is what was true at the round before, as if each level took a period: in
// droverd the levels' rounds are not in step, so there it is up to a period old when it comes.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "runtime/policy/groups.h"
#include "runtime/policy/notable.h"
#include "runtime/policy/view.h"

namespace drover::simulate {

class SharedTables {
 public:
  SharedTables(int nodes, int two_level_above);

  const GroupLayout& layout() const { return layout_; }
  // What `node` knows of everybody, by rank; to be changed only for the time of one decision.
  std::vector<NodeView>& of(int node) { return tables_[group_of(node)].views; }
  const std::vector<NodeView>& of(int node) const { return tables_[group_of(node)].views; }
  // When what `node` knows of `rank` was true, in seconds.
  double told(int node, int rank) const { return tables_[group_of(node)].told[static_cast<std::size_t>(rank)]; }

  // `rank` tells those it shares with.
  void tell(int rank, const NodeView& view, double now);
  // A round: everybody has told; on two levels the summaries of the last round come.
  void round(const std::function<NodeView(int rank)>& view, double now);
  // By rank, the notable nodes of all groups and nothing else, as they were told the last time. On two levels only.
  const std::vector<NodeView>& notable() const { return notable_; }

 private:
  struct Table {
    std::vector<NodeView> views;
    std::vector<double> told;
  };
  struct Summary {
    GroupSums sums;
    std::vector<int> ranks;
    std::vector<NodeView> views;
    double made = 0;
  };
  std::size_t group_of(int node) const {
    return layout_.two_level() ? static_cast<std::size_t>(layout_.group_of(node)) : 0;
  }
  void spread();
  Summary summarize(int group, double now) const;

  GroupLayout layout_;
  std::vector<Table> tables_;             // by group
  std::vector<Summary> summaries_;        // by group, of the last round; empty before the first
  std::vector<std::vector<int>> listed_;  // by group: its nodes that the others know of
  std::vector<NodeView> notable_;
  std::uint64_t rounds_ = 0;
};

}  // namespace drover::simulate
