// What a round of load sharing costs a node: a model of the collectives that droverd calls, and of its heartbeats.
//
//     an MPI_Iallgather among p     ceil(log2 p) messages sent by each, (p - 1) parts received
//     an MPI_Ibcast to p - 1 others p - 1 messages in all, ceil(log2 p) of them sent by the root, the whole received
//     once
//                                   by each
//     heartbeats among p            p - 1 datagrams sent and received by each, a vector and a header in each
//
// (Recursive doubling and Bruck's algorithm send as many messages; Open MPI's Iallgather may send more and smaller
// ones.)
#pragma once

#include "runtime/policy/groups.h"

namespace drover::simulate {

// Bytes on the wire of droverd; exchange/summary.h and a unit test keep them true.
struct ExchangeSizes {
  double vector = 120;    // LoadSample
  double summary = 1088;  // GroupSummary
  double beat = 1152;     // LeaderBeat
  double doorbell = 16;   // header of a datagram
};

struct RoundCost {
  double messages = 0;  // sent
  double bytes = 0;     // received
};

struct ExchangeCost {
  RoundCost mean;   // over all nodes
  RoundCost worst;  // of the node that has most to do: a leader
};

// Per node and round; a round of the leaders and a broadcast in each group come with each.
ExchangeCost exchange_cost(const GroupLayout& layout, const ExchangeSizes& sizes = {});

}  // namespace drover::simulate
