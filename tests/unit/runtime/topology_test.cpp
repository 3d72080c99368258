// Dealing a host's PUs to its ranks, on machines made up with hwloc.
#include "runtime/load/topology.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <stdexcept>

namespace drover {
namespace {

std::vector<Share> deal_all(const Topology& topology, const PuSet& allowed, unsigned ranks) {
  std::vector<Share> shares;
  for (unsigned rank = 0; rank < ranks; ++rank) shares.push_back(deal(topology.core_pus(), allowed, rank, ranks));
  return shares;
}

// Every allowed PU belongs to exactly one rank.
void expect_partition(const std::vector<Share>& shares, const PuSet& allowed) {
  std::multiset<unsigned> dealt;
  for (const Share& share : shares) dealt.insert(share.pus.begin(), share.pus.end());
  EXPECT_EQ(PuSet(dealt.begin(), dealt.end()), allowed);
}

TEST(Topology, ReadsASyntheticMachine) {
  const Topology topology = Topology::synthetic("pack:2 core:4 pu:2");
  EXPECT_EQ(topology.packages(), 2U);
  EXPECT_EQ(topology.cores(), 8U);
  EXPECT_EQ(topology.pus(), 16U);
  EXPECT_EQ(topology.allowed().size(), 16U);
  EXPECT_GT(topology.memory_kib(), 0U);
  EXPECT_THROW(Topology::synthetic("nonsense:x"), std::runtime_error);
}

TEST(Topology, ReadsThisMachine) {
  const Topology topology = Topology::load();
  EXPECT_GE(topology.packages(), 1U);
  EXPECT_GE(topology.cores(), 1U);
  EXPECT_GE(topology.pus(), topology.cores());
  EXPECT_FALSE(topology.allowed().empty());
  EXPECT_GT(topology.memory_kib(), 1024U);
}

TEST(Deal, GivesWholeCoresWhileThereAreEnough) {
  const Topology topology = Topology::synthetic("pack:2 core:4 pu:2");
  for (const unsigned ranks : {1U, 2U, 3U, 5U, 8U}) {
    const auto shares = deal_all(topology, topology.allowed(), ranks);
    expect_partition(shares, topology.allowed());
    for (const Share& share : shares) {
      EXPECT_EQ(share.pus.size() % 2, 0U) << ranks;
      EXPECT_GE(share.pus.size(), 16U / ranks / 2 * 2) << ranks;
      EXPECT_DOUBLE_EQ(share.capacity, static_cast<double>(share.pus.size()));
      EXPECT_EQ(share.host_pus, 16U);
    }
  }
}

TEST(Deal, KeepsNeighboursTogether) {
  const Topology topology = Topology::synthetic("pack:2 core:4 pu:1");
  const auto shares = deal_all(topology, topology.allowed(), 2);
  EXPECT_EQ(shares[0].pus, (PuSet{0, 1, 2, 3}));
  EXPECT_EQ(shares[1].pus, (PuSet{4, 5, 6, 7}));
}

TEST(Deal, GivesSinglePusWhenCoresRunOut) {
  const Topology topology = Topology::synthetic("core:2 pu:2");
  const auto shares = deal_all(topology, topology.allowed(), 3);
  expect_partition(shares, topology.allowed());
  for (const Share& share : shares) EXPECT_GE(share.pus.size(), 1U);
}

TEST(Deal, SharesAllWhenThereAreFewerPusThanRanks) {
  const Topology topology = Topology::synthetic("core:2 pu:1");
  for (const Share& share : deal_all(topology, topology.allowed(), 4)) {
    EXPECT_EQ(share.pus, (PuSet{0, 1}));
    EXPECT_DOUBLE_EQ(share.capacity, 0.5);
    EXPECT_EQ(share.host_pus, 2U);
  }
  EXPECT_DOUBLE_EQ(deal(topology.core_pus(), topology.allowed(), 2, 3).capacity, 2.0 / 3);
}

TEST(Deal, StaysWithinAnAllocation) {
  const Topology topology = Topology::synthetic("pack:2 core:4 pu:2");
  const PuSet allowed = {3, 4, 5, 6};  // half of core 1, core 2, half of core 3
  for (const unsigned ranks : {1U, 2U, 3U, 4U}) expect_partition(deal_all(topology, allowed, ranks), allowed);
  for (const Share& share : deal_all(topology, allowed, 5)) EXPECT_EQ(share.pus, allowed);
}

TEST(Deal, RefusesRanksOutOfRange) {
  const Topology topology = Topology::synthetic("core:2 pu:1");
  EXPECT_THROW(deal(topology.core_pus(), topology.allowed(), 2, 2), std::invalid_argument);
  EXPECT_THROW(deal(topology.core_pus(), {}, 0, 1), std::invalid_argument);
}

}  // namespace
}  // namespace drover
