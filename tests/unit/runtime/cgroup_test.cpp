#include "runtime/load/cgroup.h"

#include <gtest/gtest.h>

#include "tests/unit/runtime/temporary_directory.h"

namespace drover {
namespace {

TEST(Cgroup, ParsesQuotas) {
  EXPECT_EQ(parse_cpu_max("50000 100000\n"), 0.5);
  EXPECT_FALSE(parse_cpu_max("max 100000\n"));
  EXPECT_FALSE(parse_cpu_max(""));
  EXPECT_EQ(parse_cfs_quota("400000\n", "100000\n"), 4);
  EXPECT_FALSE(parse_cfs_quota("-1\n", "100000\n"));
  EXPECT_FALSE(parse_cfs_quota("1000", "0"));
}

TEST(Cgroup, ParsesPaths) {
  const char* hybrid = "9:name=systemd:/user\n2:cpu,cpuacct:/batch/job_7\n0::/user.slice\n";
  EXPECT_EQ(parse_cgroup_path(hybrid, "cpu"), "/batch/job_7");
  EXPECT_EQ(parse_cgroup_path(hybrid, ""), "/user.slice");
  EXPECT_EQ(parse_cgroup_path(hybrid, "memory"), "");
  EXPECT_EQ(parse_cgroup_path("nonsense\n1:\n", "cpu"), "");
}

TEST(Cgroup, TakesTheSmallestQuotaOnTheWayUp) {
  for (const bool v2 : {false, true}) {
    const TemporaryDirectory proc, groups;
    proc.write("self/cgroup", v2 ? "0::/a/b/c\n" : "3:cpu,cpuacct:/a/b/c\n");
    proc.write("self/mounts", "x " + groups.path() + (v2 ? " cgroup2 rw 0 0\n" : " cgroup rw,cpu,cpuacct 0 0\n"));
    const auto set = [&](const std::string& group, const std::string& quota) {
      if (v2) {
        groups.write(group + "/cpu.max", quota + " 100000\n");
      } else {
        groups.write(group + "/cpu.cfs_quota_us", quota == "max" ? "-1\n" : quota + "\n");
        groups.write(group + "/cpu.cfs_period_us", "100000\n");
      }
    };
    EXPECT_FALSE(cpu_quota(ProcDir(proc.path())));
    set("a/b/c", "max");
    EXPECT_FALSE(cpu_quota(ProcDir(proc.path())));
    set("a/b", "150000");
    set("a", "300000");
    EXPECT_EQ(cpu_quota(ProcDir(proc.path())), 1.5);
  }
}

}  // namespace
}  // namespace drover
