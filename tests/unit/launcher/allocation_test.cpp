#include "launcher/world/allocation.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace drover {

using Hosts = std::vector<std::string>;

TEST(Allocation, NodeListsAreExpandedAsScontrolDoes) {
  EXPECT_EQ(expand_node_list("node7"), Hosts{"node7"});
  EXPECT_EQ(expand_node_list("a,b-2,c.example.org"), (Hosts{"a", "b-2", "c.example.org"}));
  EXPECT_EQ(expand_node_list("node[1-3,7],gpu[08-11]"),
            (Hosts{"node1", "node2", "node3", "node7", "gpu08", "gpu09", "gpu10", "gpu11"}));
  EXPECT_EQ(expand_node_list("r[1-2]n[1-2]x"), (Hosts{"r1n1x", "r1n2x", "r2n1x", "r2n2x"}));
}

TEST(Allocation, WhatIsNoNodeListIsRefusedByName) {
  for (const char* list : {"", "a[1-2", "a]1[", "a[]", "a[2-1]", "a[x]", "a[1-]", "a,,b", "a[1-99999999]", "a[-1]"}) {
    try {
      expand_node_list(list);
      ADD_FAILURE() << list;
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find("SLURM_JOB_NODELIST"), std::string::npos) << error.what();
    }
  }
}

class Environment : public ::testing::Test {
 protected:
  void SetUp() override { clear(); }
  void TearDown() override { clear(); }
  static void clear() {
    for (const char* name : {"SLURM_JOB_NODELIST", "SLURM_JOB_ID", "PBS_NODEFILE", "PBS_JOBID"}) ::unsetenv(name);
  }
};

TEST_F(Environment, TellsWhoHasGivenWhichHosts) {
  EXPECT_FALSE(find_allocation());
  const auto file = std::filesystem::temp_directory_path() / ("drover-nodefile-" + std::to_string(::getpid()));
  std::ofstream(file) << "n2\nn2\nn1\nn2\n";
  ::setenv("PBS_NODEFILE", file.c_str(), 1);
  ::setenv("PBS_JOBID", "12.server", 1);
  const auto pbs = find_allocation();
  std::filesystem::remove(file);
  ASSERT_TRUE(pbs);
  EXPECT_EQ(pbs->name, "PBS job 12.server");
  ASSERT_EQ(pbs->hosts.size(), 2U);
  EXPECT_EQ(pbs->hosts[0].name, "n2");
  EXPECT_EQ(pbs->hosts[0].nodes, 1);
  EXPECT_THROW(find_allocation(), std::runtime_error);  // the file has gone
  ::setenv("SLURM_JOB_NODELIST", "n[1-4]", 1);
  ::setenv("SLURM_JOB_ID", "17", 1);
  const auto slurm = find_allocation();
  ASSERT_TRUE(slurm);
  EXPECT_EQ(slurm->name, "Slurm job 17");
  EXPECT_EQ(slurm->hosts.size(), 4U);
}

}  // namespace drover
