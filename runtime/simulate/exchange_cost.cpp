#include "runtime/simulate/exchange_cost.h"

#include <algorithm>
#include <bit>

namespace drover::simulate {

namespace {

double log2_up(int p) { return p <= 1 ? 0 : std::bit_width(static_cast<unsigned>(p - 1)); }

RoundCost operator+(const RoundCost& a, const RoundCost& b) { return {a.messages + b.messages, a.bytes + b.bytes}; }

RoundCost allgather(int p, double part) { return {log2_up(p), (p - 1) * part}; }
RoundCost heartbeats(int p, double payload, const ExchangeSizes& sizes) {
  return {static_cast<double>(p - 1), (p - 1) * (payload + sizes.doorbell)};
}

}  // namespace

ExchangeCost exchange_cost(const GroupLayout& layout, const ExchangeSizes& sizes) {
  const auto vectors = [&](int p) { return allgather(p, sizes.vector) + heartbeats(p, sizes.vector, sizes); };
  if (!layout.two_level()) return {vectors(layout.size), vectors(layout.size)};
  const RoundCost among_leaders =
      allgather(layout.groups, sizes.summary) + heartbeats(layout.groups, sizes.beat, sizes);
  ExchangeCost cost;
  for (int group = 0; group < layout.groups; ++group) {
    const int p = layout.count(group);
    const double others = p - 1, broadcast = layout.groups * sizes.summary;
    // The leader rings the others for the broadcast, so that they look at once.
    const RoundCost leader = vectors(p) + among_leaders + RoundCost{log2_up(p) + others, 0};
    const double messages = p * vectors(p).messages + among_leaders.messages + others + others;
    const double bytes = p * vectors(p).bytes + among_leaders.bytes + others * (broadcast + sizes.doorbell);
    cost.mean = cost.mean + RoundCost{messages / layout.size, bytes / layout.size};
    cost.worst.messages = std::max(cost.worst.messages, leader.messages);
    cost.worst.bytes = std::max({cost.worst.bytes, leader.bytes, vectors(p).bytes + broadcast + sizes.doorbell});
  }
  return cost;
}

}  // namespace drover::simulate
