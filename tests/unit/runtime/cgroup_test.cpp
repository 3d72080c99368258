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

TEST(Cgroup, CountsOnTheGroupOfTheSmallestQuotaElseOnItsOwn) {
  for (const bool v2 : {false, true}) {
    const TemporaryDirectory proc, groups;
    proc.write("self/cgroup", v2 ? "0::/a/b/c\n" : "3:cpu,cpuacct:/a/b/c\n");
    proc.write("self/mounts", "x " + groups.path() + (v2 ? " cgroup2 rw 0 0\n" : " cgroup rw,cpu,cpuacct 0 0\n"));
    const ProcDir files(proc.path());
    EXPECT_FALSE(cpu_group(files));  // not a group to be seen
    groups.write("cgroup.procs", "");
    groups.write(v2 ? "cgroup.stat" : "release_agent", "");
    EXPECT_FALSE(cpu_group(files));  // the root
    for (const char* group : {"a", "a/b", "a/b/c"}) {
      groups.write(std::string(group) + "/cgroup.procs", "");
      if (v2) groups.write(std::string(group) + "/cgroup.type", "domain\n");
    }
    ASSERT_TRUE(cpu_group(files));
    EXPECT_EQ(cpu_group(files)->path, "/a/b/c");
    EXPECT_EQ(cpu_group(files)->v2, v2);
    const auto limit = [&](const std::string& group, const char* quota) {
      groups.write(group + (v2 ? "/cpu.max" : "/cpu.cfs_quota_us"), std::string(quota) + (v2 ? " 100000\n" : "\n"));
      groups.write(group + "/cpu.cfs_period_us", "100000\n");
    };
    limit("a/b/c", "50000");
    limit("a/b", "50000");
    limit("a", "150000");
    EXPECT_EQ(cpu_group(files)->path, "/a/b");  // which holds the other
    const auto ids = cpu_group_ids(files);
    ASSERT_EQ(ids.size(), 4U);
    EXPECT_EQ(ids[1], cgroup_id(*cpu_group(files)));
    EXPECT_NE(ids[0], ids[1]);
    EXPECT_EQ(cgroup_id({groups.path(), "/nonesuch", v2}), 0U);
  }
}

// Docker without a cgroup namespace: the path is the host's, the mount shows the container's group only.
TEST(Cgroup, CountsOnWhatAContainersMountShows) {
  const TemporaryDirectory proc, groups;
  proc.write("self/cgroup", "3:cpu,cpuacct:/docker/0123\n");
  proc.write("self/mounts", "cgroup " + groups.path() + " cgroup ro,cpu,cpuacct 0 0\n");
  groups.write("cgroup.procs", "1\n");
  ASSERT_TRUE(cpu_group(ProcDir(proc.path())));
  EXPECT_EQ(cpu_group(ProcDir(proc.path()))->path, "");
}

TEST(Cgroup, ParsesMemoryLimits) {
  EXPECT_EQ(parse_memory_limit("4194304\n"), 4096U);
  EXPECT_EQ(parse_memory_limit("0\n"), 0U);
  EXPECT_FALSE(parse_memory_limit("max\n"));
  EXPECT_FALSE(parse_memory_limit("9223372036854771712\n"));  // v1's "none" with pages of 4 KiB
  EXPECT_FALSE(parse_memory_limit("9223372036854710272\n"));  // and of 64 KiB
  EXPECT_FALSE(parse_memory_limit(""));
  EXPECT_FALSE(parse_memory_limit("many"));
}

TEST(Cgroup, ParsesWhatTheKernelWouldDropFirst) {
  EXPECT_EQ(parse_inactive_file("anon 5\ninactive_file 7\nactive_file 9\n"), 7U);
  EXPECT_EQ(parse_inactive_file("inactive_file 7\ntotal_inactive_file 70\n"), 70U);
  EXPECT_EQ(parse_inactive_file(""), 0U);
}

// A fixture's group: its /proc/self/cgroup, with the hierarchies mounted at its folder cgroup.
class FixtureGroups {
 public:
  FixtureGroups(const std::string& host, const std::string& mounts) {
    proc.write("self/cgroup", ProcDir(FIXTURES "/" + host).read("self/cgroup"));
    proc.write("self/mounts", mounts);
  }
  TemporaryDirectory proc;
};

TEST(Cgroup, OfAUserUnderSystemd) {
  const FixtureGroups host("debian12-6.1", "cgroup2 " FIXTURES "/debian12-6.1/cgroup cgroup2 rw,nosuid 0 0\n");
  const ProcDir proc(host.proc.path());
  EXPECT_EQ(cpu_quota(proc), 3);
  EXPECT_EQ(cpu_group(proc).value().path, "/user.slice/user-1000.slice");
  const auto groups = find_cgroups(proc, "memory");
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].path, "/user.slice/user-1000.slice/session-3.scope");
  const auto limit = memory_limit(groups);  // of the slice above the scope, which has none; high is below max
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit_kib, 6U << 20);
  EXPECT_EQ(limit->used_kib, 3U << 20);  // 5 GiB, 2 of them cache that nobody used lately
  EXPECT_EQ(limit->available_kib(), 3U << 20);
  const Pressures pressure = cgroup_pressure(groups);
  ASSERT_TRUE(pressure[0] && pressure[1] && pressure[2]);
  EXPECT_DOUBLE_EQ(pressure[0]->some.avg10, 12.34);
  EXPECT_DOUBLE_EQ(pressure[1]->full->avg10, 0.25);
}

TEST(Cgroup, OfABatchStepWithTheOldHierarchies) {
  const std::string root = FIXTURES "/slurm-5.14-cgroup1/cgroup";
  const FixtureGroups host("slurm-5.14-cgroup1",
                           "tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup " + root +
                               "/memory cgroup rw,nosuid,memory 0 0\ncgroup " + root +
                               "/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup2 /nonexistent cgroup2 rw 0 0\n");
  const ProcDir proc(host.proc.path());
  EXPECT_EQ(cpu_quota(proc), 4);
  const auto limit = memory_limit(find_cgroups(proc, "memory"));  // the job's, which other steps use too
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit_kib, 4U << 20);
  EXPECT_EQ(limit->used_kib, (3U << 20) - (768U << 10));
  EXPECT_FALSE(cgroup_pressure(find_cgroups(proc, "memory"))[0]);
}

TEST(Cgroup, OfAContainerThatSeesItselfAsTheRoot) {
  const FixtureGroups host("container-6.6-cgroup2",
                           "cgroup " FIXTURES "/container-6.6-cgroup2/cgroup cgroup2 ro 0 0\n");
  const ProcDir proc(host.proc.path());
  EXPECT_EQ(cpu_quota(proc), 1.5);
  EXPECT_EQ(cpu_group(proc).value().path, "");
  const auto groups = find_cgroups(proc, "memory");
  const auto limit = memory_limit(groups);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit_kib, 2U << 20);
  EXPECT_EQ(limit->used_kib, 1U << 20);
  EXPECT_DOUBLE_EQ(cgroup_pressure(groups)[2].value().some.avg10, 7.25);
}

TEST(Cgroup, WithoutAny) {
  const ProcDir proc("/nonexistent");
  EXPECT_TRUE(find_cgroups(proc, "memory").empty());
  EXPECT_FALSE(memory_limit(find_cgroups(proc, "memory")));
  EXPECT_FALSE(memory_limit({{"/nonexistent", "/a", true}, {"/nonexistent", "", false}}));
}

}  // namespace
}  // namespace drover
