#include "runtime/simulate/shared_tables.h"

#include <span>

namespace drover::simulate {

SharedTables::SharedTables(int nodes, int two_level_above) : layout_(lay_out_groups(nodes, two_level_above)) {
  const auto size = static_cast<std::size_t>(nodes);
  NodeView unknown;
  unknown.usable = !layout_.two_level();
  tables_.assign(static_cast<std::size_t>(layout_.groups),
                 {std::vector<NodeView>(size, unknown), std::vector<double>(size, 0.0)});
  if (!layout_.two_level()) return;
  summaries_.resize(static_cast<std::size_t>(layout_.groups));
  listed_.resize(static_cast<std::size_t>(layout_.groups));
  notable_.assign(size, unknown);
}

void SharedTables::tell(int rank, const NodeView& view, double now) {
  Table& table = tables_[group_of(rank)];
  table.views[static_cast<std::size_t>(rank)] = view;
  table.told[static_cast<std::size_t>(rank)] = now;
}

void SharedTables::round(const std::function<NodeView(int)>& view, double now) {
  if (layout_.two_level() && rounds_ > 0) spread();
  for (int rank = 0; rank < layout_.size; ++rank) tell(rank, view(rank), now);
  ++rounds_;
  if (!layout_.two_level()) return;
  for (int group = 0; group < layout_.groups; ++group)
    summaries_[static_cast<std::size_t>(group)] = summarize(group, now);
}

SharedTables::Summary SharedTables::summarize(int group, double now) const {
  const auto first = static_cast<std::size_t>(layout_.first(group));
  const auto members = std::span(tables_[static_cast<std::size_t>(group)].views)
                           .subspan(first, static_cast<std::size_t>(layout_.count(group)));
  Summary summary;
  summary.sums = sum_up(members);
  for (const int index : choose_notable(members, rounds_ * 4096 + first)) {
    summary.ranks.push_back(static_cast<int>(first) + index);
    summary.views.push_back(members[static_cast<std::size_t>(index)]);
  }
  summary.made = now;
  return summary;
}

void SharedTables::spread() {
  for (NodeView& view : notable_) view.usable = false;
  for (int from = 0; from < layout_.groups; ++from) {
    const Summary& summary = summaries_[static_cast<std::size_t>(from)];
    std::vector<int>& listed = listed_[static_cast<std::size_t>(from)];
    std::vector<NodeView> standing = summary.views;
    stand_for_group(standing, summary.sums);
    for (std::size_t i = 0; i < summary.ranks.size(); ++i)
      notable_[static_cast<std::size_t>(summary.ranks[i])] = summary.views[i];
    for (int to = 0; to < layout_.groups; ++to) {
      if (to == from) continue;
      Table& table = tables_[static_cast<std::size_t>(to)];
      for (const int rank : listed) table.views[static_cast<std::size_t>(rank)].usable = false;
      for (std::size_t i = 0; i < summary.ranks.size(); ++i) {
        table.views[static_cast<std::size_t>(summary.ranks[i])] = standing[i];
        table.told[static_cast<std::size_t>(summary.ranks[i])] = summary.made;
      }
    }
    listed = summary.ranks;
  }
}

}  // namespace drover::simulate
