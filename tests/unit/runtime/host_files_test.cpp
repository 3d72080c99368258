// The parsers of host-wide files, on the text of several kernels and hosts, and on text that is none.
#include "runtime/load/host_files.h"

#include <gtest/gtest.h>

#include "runtime/load/proc_dir.h"

namespace drover {
namespace {

const ProcDir kDebian(FIXTURES "/debian12-6.1"), kRhel(FIXTURES "/rhel8-4.18"), kEpyc(FIXTURES "/epyc-5.15-256cpu"),
    kContainer(FIXTURES "/container-6.18"), kSlurm(FIXTURES "/slurm-5.14-cgroup1");

TEST(SystemStat, OfDebian12) {
  const auto stat = parse_system_stat(kDebian.read("stat"));
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->cpus.size(), 4U);
  EXPECT_EQ(stat->cpus.at(0).user, 1393280U);
  EXPECT_EQ(stat->cpus.at(0).steal, 40000U);
  EXPECT_EQ(stat->cpus.at(0).busy(), 1393280U + 32966 + 572056 + 0 + 17875 + 40000);
  EXPECT_EQ(stat->cpus.at(0).total(), stat->cpus.at(0).busy() + 13343292 + 6130);
  EXPECT_EQ(stat->interrupts, 1462898129U);
  EXPECT_EQ(stat->context_switches, 11513422119U);
  EXPECT_EQ(stat->forks, 26442127U);
  EXPECT_EQ(stat->processes_running, 5U);
  EXPECT_EQ(stat->processes_blocked, 1U);
}

TEST(SystemStat, WithACpuOffline) {
  const auto stat = parse_system_stat(kRhel.read("stat"));
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->cpus.size(), 2U);
  EXPECT_EQ(stat->cpus.count(1), 0U);
  EXPECT_EQ(stat->cpus.at(2).user, 2350U);
}

TEST(SystemStat, Of256Cpus) {
  const auto stat = parse_system_stat(kEpyc.read("stat"));
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->cpus.size(), 256U);
  EXPECT_EQ(stat->cpus.at(255).user, 1255U);
  EXPECT_EQ(stat->interrupts, 99999999999U);
}

TEST(SystemStat, OfAVirtualMachine) {
  const auto stat = parse_system_stat(kContainer.read("stat"));
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->cpus.size(), 2U);
}

TEST(LoadAverage, Parses) {
  const auto load = parse_load_average(kDebian.read("loadavg"));
  ASSERT_TRUE(load);
  EXPECT_DOUBLE_EQ(load->one_minute, 3.92);
  EXPECT_DOUBLE_EQ(load->fifteen_minutes, 1.05);
  EXPECT_EQ(load->runnable, 5U);
  EXPECT_EQ(load->threads, 1043U);
}

TEST(VmStat, Parses) {
  const auto vm = parse_vmstat(kDebian.read("vmstat"));
  EXPECT_EQ(parse_vmstat("pgmajfault 1\noom_kill 3\n")->oom_kills, 3U);
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->pages_in_kib, 81223414U);
  EXPECT_EQ(vm->swapped_out, 89123U);
  EXPECT_EQ(vm->major_faults, 412331U);
  EXPECT_TRUE(parse_vmstat(kContainer.read("vmstat")));
}

TEST(MemInfo, Parses) {
  const auto memory = parse_meminfo(kDebian.read("meminfo"));
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_kib, 32594556U);
  EXPECT_EQ(memory->available_kib, 24445917U);
  EXPECT_EQ(memory->swap_free_kib, 3000000U);
}

TEST(MemInfo, EstimatesAvailableOnOldKernels) {
  const auto memory = parse_meminfo(kRhel.read("meminfo"));
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->available_kib, 500000U);
  EXPECT_EQ(memory->swap_total_kib, 0U);
}

TEST(DiskSectors, CountWholeDisksOnce) {
  const auto of = [](const ProcDir& host) {
    const DiskSectors sectors = parse_disk_sectors(host.read("diskstats")).value();
    return std::pair(sectors.read, sectors.written);
  };
  EXPECT_EQ(of(kDebian), (std::pair<std::uint64_t, std::uint64_t>(9000000 + 4000, 16000000 + 6000)));
  EXPECT_EQ(of(kRhel), (std::pair<std::uint64_t, std::uint64_t>(9550688, 5922052)));
  EXPECT_EQ(of(kContainer), (std::pair<std::uint64_t, std::uint64_t>(4161554, 1121824)));
  EXPECT_EQ(of(kSlurm), (std::pair<std::uint64_t, std::uint64_t>(1874226, 5212834)));  // without dm-0
  EXPECT_EQ(of(kEpyc), (std::pair<std::uint64_t, std::uint64_t>(640028, 1280028)));    // eight disks, without md127
}

TEST(DiskSectors, AreUnknownWithoutADisk) {
  EXPECT_FALSE(parse_disk_sectors(""));
  EXPECT_FALSE(parse_disk_sectors("   7       0 loop0 1 0 8 0 0 0 0 0 0 0 0\n"));
}

TEST(PressureFile, Parses) {
  const auto pressure = parse_pressure(kDebian.read("pressure/cpu"));
  ASSERT_TRUE(pressure);
  EXPECT_DOUBLE_EQ(pressure->some.avg10, 12.5);
  EXPECT_EQ(pressure->some.total_us, 190412233U);
  ASSERT_TRUE(pressure->full);
}

TEST(PressureFile, WithoutFull) {
  const auto pressure = parse_pressure(kRhel.read("pressure/cpu"));
  ASSERT_TRUE(pressure);
  EXPECT_FALSE(pressure->full);
  EXPECT_FALSE(parse_pressure(kRhel.read("pressure/io")));
}

TEST(PressureFile, OfEachResource) {
  const auto io = parse_pressure(kDebian.read("pressure/io")), memory = parse_pressure(kDebian.read("pressure/memory"));
  ASSERT_TRUE(io && io->full && memory);
  EXPECT_DOUBLE_EQ(io->some.avg10, 3.5);
  EXPECT_DOUBLE_EQ(io->full->avg10, 2.25);
  EXPECT_EQ(memory->some.total_us, 11231U);
}

TEST(Schedstat, OfAHostOf256Cpus) {
  const auto schedule = parse_schedstat(kEpyc.read("schedstat"));
  ASSERT_EQ(schedule.size(), 256U);
  EXPECT_EQ(schedule.at(255).running_ns, 1000255000000U);
  EXPECT_EQ(schedule.at(255).waiting_ns, 2255000000U);
}

TEST(Schedstat, Parses) {
  const auto schedule = parse_schedstat(kDebian.read("schedstat"));
  ASSERT_EQ(schedule.size(), 2U);
  EXPECT_EQ(schedule.at(0).running_ns, 1290341233411U);
  EXPECT_EQ(schedule.at(1).waiting_ns, 312339123411U);
}

TEST(HostFiles, TakeAnyText) {
  const std::string texts[] = {"",
                               "\n\n",
                               "cpu",
                               "cpu0",
                               "intr",
                               "some",
                               "MemTotal:",
                               "MemTotal: kB",
                               std::string(3, '\0'),
                               "cpu99999999999999999999 1 2 3\ncpu 1\n",
                               "8 0",
                               "8 0 sda",
                               "cpu 1 2\ncpu0 -4 x\n"};
  for (const std::string& text : texts) {
    parse_system_stat(text);
    parse_load_average(text);
    parse_vmstat(text);
    parse_meminfo(text);
    parse_disk_sectors(text);
    parse_pressure(text);
    parse_schedstat(text);
  }
}

}  // namespace
}  // namespace drover
