// The sampler on /proc trees that the tests write, and for one test on the real one.
#include "runtime/load/sampler.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "runtime/load/watermarks.h"
#include "tests/unit/runtime/temporary_directory.h"

namespace drover {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

double value(const LoadSample& sample, Factor factor) {
  return static_cast<double>(sample.factors[static_cast<std::size_t>(factor)]);
}
bool known(const LoadSample& sample, Factor factor) {
  return (sample.known >> static_cast<unsigned>(factor) & 1U) != 0;
}

// A host of two CPUs, its counters set by hand.
class FakeHost {
 public:
  std::uint64_t busy0 = 1000, busy1 = 1000, idle0 = 5000, idle1 = 5000, interrupts = 10, switches = 20, sectors = 100,
                faults = 5, running = 1;
  void write() const {
    proc.write("stat", fmt::format("cpu  0 0 0 0\ncpu0 {} 0 0 {} 0 0 0 0 0 0\ncpu1 {} 0 0 {} 0 0 0 0 0 0\nintr {} 0\n"
                                   "ctxt {}\nprocs_running {}\n",
                                   busy0, idle0, busy1, idle1, interrupts, switches, running));
    proc.write("vmstat", fmt::format("pswpin 0\npswpout 0\npgmajfault {}\n", faults));
    proc.write("diskstats", fmt::format("8 0 sda 1 1 {} 1 1 1 0 1 1 1 1\n", sectors));
    proc.write("meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
  }
  // A job: init `pid` with one child that has used `ticks` and holds `pages`.
  void write_job(int pid, std::uint64_t ticks, std::uint64_t waited_ns, std::uint64_t pages = 0) const {
    const int child = pid + 1;
    const auto stat = [](int id, int parent, std::uint64_t used, std::uint64_t resident) {
      return fmt::format("{} (x) R {} 1 1 0 -1 0 0 0 0 0 {} 0 0 0 20 0 1 0 77 0 {} 0\n", id, parent, used, resident);
    };
    proc.write(fmt::format("{}/stat", pid), stat(pid, 1, 0, 500));
    proc.write(fmt::format("{}/task/{}/children", pid, pid), fmt::format("{} ", child));
    proc.write(fmt::format("{}/stat", child), stat(child, pid, ticks, pages));
    proc.write(fmt::format("{}/task/{}/children", child, child), "");
    proc.write(fmt::format("{}/task/{}/schedstat", child, child),
               fmt::format("{} {} 9\n", ticks * 10'000'000, waited_ns));
  }
  void remove_job(int pid) const {
    for (const int id : {pid, pid + 1}) std::filesystem::remove_all(fmt::format("{}/{}", proc.path(), id));
  }
  TemporaryDirectory proc;
};

const Share kWholeHost{{0, 1}, 2, 2};

TEST(CounterGrowth, SurvivesWrapAndReset) {
  EXPECT_EQ(counter_growth(5, 9), 4U);
  EXPECT_EQ(counter_growth(0xfffffff0, 0x10), 0x20U);
  EXPECT_EQ(counter_growth(1000, 10), 0U);
  EXPECT_EQ(counter_growth(1ULL << 40, 10), 0U);
}

TEST(JobMeter, SeesMemoryWithoutTheMainThread) {
  TemporaryDirectory proc;
  const auto write_stat = [&](const std::string& file, int id, char state, int threads, int pages) {
    proc.write(
        file, fmt::format("{} (x) {} 100 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 {} 0 77 0 {} 0\n", id, state, threads, pages));
  };
  write_stat("100/stat", 100, 'S', 1, 500);
  proc.write("100/task/100/children", "101 ");
  write_stat("101/stat", 101, 'Z', 3, 0);
  for (const int tid : {101, 102, 103}) {
    proc.write(fmt::format("101/task/{}/children", tid), "");
    write_stat(fmt::format("101/task/{}/stat", tid), tid, tid == 101 ? 'Z' : 'S', 3, tid == 101 ? 0 : 256);
  }
  JobMeter meter(ProcDir(proc.path()), 2);
  const std::vector<pid_t> inits = {100};
  EXPECT_EQ(meter.measure(kSecond, inits).resident_kib, 256U * static_cast<std::uint64_t>(::getpagesize()) / 1024);
}

TEST(Sampler, FirstSampleHasNoRates) {
  FakeHost host;
  host.write();
  LoadSampler sampler(kWholeHost, false, host.proc.path());
  const LoadSample sample = sampler.sample(1, kSecond, {});
  EXPECT_FALSE(known(sample, Factor::CpuShare));
  EXPECT_TRUE(known(sample, Factor::MemoryUsed));
  EXPECT_FALSE(known(sample, Factor::SwapUsed));  // no swap: nothing to vote on
  EXPECT_NEAR(value(sample, Factor::MemoryUsed), 0.4, 1e-6);
  EXPECT_EQ(sample.memory_available_kib, 600U);
  EXPECT_EQ(sample.taken_ns, 1U);
}

TEST(Sampler, RatesAreMeansOfTheTimeBetween) {
  for (const std::uint64_t seconds : {1, 10}) {  // 10: the sampler slept
    FakeHost host;
    host.write();
    LoadSampler sampler(kWholeHost, false, host.proc.path());
    sampler.sample(0, kSecond, {});
    host.busy0 += 50 * seconds;
    host.idle0 += 50 * seconds;
    host.idle1 += 100 * seconds;
    host.interrupts += 1000 * seconds;
    host.switches += 4000 * seconds;
    host.sectors += 80 * seconds;
    host.faults += 3 * seconds;
    host.write();
    const LoadSample sample = sampler.sample(0, kSecond + seconds * kSecond, {});
    EXPECT_NEAR(value(sample, Factor::CpuShare), 0.25, 0.01);
    EXPECT_NEAR(value(sample, Factor::Interrupts), 500, 1);
    EXPECT_NEAR(value(sample, Factor::ContextSwitches), 2000, 1);
    EXPECT_NEAR(value(sample, Factor::IoBlocks), 80, 1);
    EXPECT_NEAR(value(sample, Factor::PageOps), 3, 0.1);
    EXPECT_NEAR(sample.foreign_cpu_share, 0.25, 0.01);
  }
}

TEST(Sampler, SurvivesWrappedCounters) {
  FakeHost host;
  host.interrupts = 0xffffff00;
  host.write();
  LoadSampler sampler(kWholeHost, false, host.proc.path());
  sampler.sample(0, kSecond, {});
  host.interrupts = 0x100;
  host.idle0 += 100;
  host.write();
  EXPECT_NEAR(value(sampler.sample(0, 2 * kSecond, {}), Factor::Interrupts), 256, 1);
}

TEST(Sampler, SurvivesEveryWrappedRate) {
  FakeHost host;
  host.interrupts = host.switches = host.sectors = host.faults = 0xffffff00;
  host.write();
  LoadSampler sampler(kWholeHost, false, host.proc.path());
  sampler.sample(0, kSecond, {});
  host.interrupts = host.switches = host.sectors = host.faults = 0x100;
  host.idle0 += 100;
  host.write();
  const LoadSample sample = sampler.sample(0, 2 * kSecond, {});
  EXPECT_NEAR(value(sample, Factor::ContextSwitches), 256, 1);
  EXPECT_NEAR(value(sample, Factor::IoBlocks), 512, 1);
  EXPECT_NEAR(value(sample, Factor::PageOps), 512, 1);
}

TEST(Sampler, SplitsTheTimeOfItsPus) {
  const TemporaryDirectory proc;
  const auto write = [&](unsigned k) {  // user nice system idle iowait irq softirq steal, in ticks
    proc.write("stat", fmt::format("cpu 0\ncpu0 {} {} {} {} {} {} {} {} 0 0\ncpu1 {} 0 0 0 0 0 0 0 0 0\nprocesses {}\n",
                                   k * 30, k * 10, k * 10, k * 20, k * 15, k * 2, k * 3, k * 10, k * 100, 7 * k));
    proc.write("vmstat", fmt::format("pgpgin {}\npgpgout {}\npswpin {}\npswpout {}\npgmajfault {}\n", k * 100, k * 200,
                                     k * 3, k * 4, k * 5));
    proc.write("diskstats", fmt::format("8 0 sda 1 1 {} 1 1 1 {} 1 1 1 1\n", k * 200, k * 400));
    proc.write("loadavg", "1 1 1 3/321 999\n");
    proc.write("pressure/cpu", "some avg10=25.00 avg60=0 avg300=0 total=1\n");
    proc.write("pressure/io", "some avg10=50.00 avg60=0 avg300=0 total=1\n");
  };
  write(1);
  LoadSampler sampler({{0}, 1, 2}, false, proc.path());  // cpu1 is not this node's
  sampler.sample(0, kSecond, {});
  EXPECT_FALSE(sampler.detail().cpu);
  write(2);
  const LoadSample sample = sampler.sample(0, 2 * kSecond, {});
  const LoadDetail& detail = sampler.detail();
  ASSERT_TRUE(detail.cpu && detail.pages && detail.blocks);
  EXPECT_NEAR(detail.cpu->user, 0.30, 1e-9);
  EXPECT_NEAR(detail.cpu->nice, 0.10, 1e-9);
  EXPECT_NEAR(detail.cpu->system, 0.15, 1e-9);
  EXPECT_NEAR(detail.cpu->iowait, 0.15, 1e-9);
  EXPECT_NEAR(detail.cpu->steal, 0.10, 1e-9);
  EXPECT_NEAR(sample.iowait_share, 0.15, 1e-6);
  EXPECT_NEAR(sample.steal_share, 0.10, 1e-6);
  EXPECT_NEAR(detail.pages->in_kib, 100, 1e-9);
  EXPECT_NEAR(detail.pages->out_kib, 200, 1e-9);
  EXPECT_NEAR(detail.pages->swapped_in + detail.pages->swapped_out + detail.pages->major_faults, 12, 1e-9);
  EXPECT_NEAR(value(sample, Factor::PageOps), 12, 1e-6);
  EXPECT_NEAR(detail.blocks->read, 200, 1e-9);
  EXPECT_NEAR(detail.blocks->written, 400, 1e-9);
  EXPECT_NEAR(detail.forks_per_second.value(), 7, 1e-9);
  EXPECT_EQ(detail.threads, 321U);
  EXPECT_NEAR(sample.cpu_pressure, 0.25, 1e-6);
  EXPECT_NEAR(sample.io_pressure, 0.5, 1e-6);
  EXPECT_EQ(sample.memory_pressure, 0);  // the kernel has no such file
}

TEST(Sampler, MemoryIsWhatTheCgroupLeaves) {
  const TemporaryDirectory proc;
  const ProcDir fixture(FIXTURES "/container-6.6-cgroup2");
  proc.write("meminfo", fixture.read("meminfo"));
  proc.write("self/cgroup", fixture.read("self/cgroup"));
  proc.write("self/mounts", "cgroup " FIXTURES "/container-6.6-cgroup2/cgroup cgroup2 ro 0 0\n");
  LoadSampler sampler(kWholeHost, false, proc.path());
  const LoadSample sample = sampler.sample(0, kSecond, {});
  EXPECT_EQ(sample.memory_available_kib, 1U << 20);  // of 2 GiB, although the host has 55 more
  EXPECT_NEAR(value(sample, Factor::MemoryUsed), 0.5, 1e-6);
  EXPECT_EQ(sampler.detail().memory_limit.value().limit_kib, 2U << 20);
}

TEST(Sampler, AHostWithLessThanTheCgroupAllows) {
  const TemporaryDirectory proc, groups;
  proc.write("meminfo", "MemTotal: 1000 kB\nMemAvailable: 100 kB\n");
  proc.write("self/cgroup", "0::/x\n");
  proc.write("self/mounts", "cgroup " + groups.path() + " cgroup2 rw 0 0\n");
  groups.write("x/memory.max", "104857600\n");
  groups.write("x/memory.current", "4096\n");
  LoadSampler sampler(kWholeHost, false, proc.path());
  const LoadSample sample = sampler.sample(0, kSecond, {});
  EXPECT_EQ(sample.memory_available_kib, 100U);
  EXPECT_NEAR(value(sample, Factor::MemoryUsed), 0.9, 1e-6);
}

// Counted by the kernel, not by a walk: a child more is a process more.
TEST(Reading, CountsProcesses) {
  const auto count = [] { return read_host(ProcDir("/proc")).processes; };
  ASSERT_GT(count(), 0U);
  std::vector<pid_t> children;  // so many that others' coming and going can't hide them
  const std::uint64_t before = count();
  for (int i = 0; i < 200; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
    ASSERT_GT(child, 0);
    children.push_back(child);
  }
  const std::uint64_t with_children = count();
  for (const pid_t child : children) ::kill(child, SIGKILL);
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  EXPECT_GT(with_children, before + 100);
}

TEST(Sampler, TellsOwnFromForeign) {
  FakeHost host;
  host.write();
  host.write_job(100, 0, 0);
  LoadSampler sampler(kWholeHost, false, host.proc.path());
  const pid_t inits[] = {100};
  sampler.sample(0, kSecond, inits);
  host.busy0 += 200;  // two seconds: one PU wholly busy, the other half
  host.busy1 += 100;
  host.idle1 += 100;
  host.write();
  host.write_job(100, 200, 500'000'000);  // the job: one PU, and a quarter of the time a thread waits
  const LoadSample sample = sampler.sample(0, 3 * kSecond, inits);
  EXPECT_NEAR(value(sample, Factor::CpuShare), 0.75, 0.02);
  ASSERT_EQ(sampler.runnable().count(100), 1U);
  EXPECT_NEAR(sampler.runnable().at(100), 1.25, 0.02);
  EXPECT_NEAR(sample.foreign_cpu_share, 0.25, 0.02);
  EXPECT_NEAR(value(sample, Factor::RunQueue), (1.0 + 0.25 + 0.5) / 2, 0.02);
  EXPECT_NEAR(sample.foreign_run_queue, 0.25, 0.02);
}

// What a job has used since the last sample is in no file once it has ended.
TEST(Sampler, AJobThatHasEndedIsNoForeignLoad) {
  for (const bool others_run : {false, true}) {
    FakeHost host;
    host.write();
    host.write_job(100, 50, 0);
    host.write_job(200, 0, 0);
    LoadSampler sampler(kWholeHost, false, host.proc.path());
    const pid_t both[] = {100, 200}, other[] = {200};
    sampler.sample(0, kSecond, both);
    host.busy0 += 200;  // in two seconds: the job that has ended, and one that came and went
    host.busy1 += 100;
    host.idle1 += 100;
    host.write();
    host.remove_job(100);
    sampler.job_ended(100, 2.5);  // half a second of it was known
    sampler.job_ended(300, 1);
    if (!others_run) host.remove_job(200);
    const LoadSample sample = sampler.sample(0, 3 * kSecond, others_run ? std::span(other) : std::span<const pid_t>{});
    EXPECT_NEAR(value(sample, Factor::CpuShare), 0.75, 0.02);
    EXPECT_NEAR(sample.foreign_cpu_share, 0, 0.02);
    EXPECT_NEAR(sample.foreign_run_queue, 0, 0.02);
    // It is told once only.
    host.busy0 += 200;
    host.idle1 += 200;
    host.write();
    EXPECT_NEAR(sampler.sample(0, 5 * kSecond, other).foreign_cpu_share, 0.5, 0.02);
  }
}

TEST(Sampler, OnASharedHostKnowsOnlyItsOwn) {
  FakeHost host;
  host.write();
  host.write_job(100, 1000, 0, 10);
  LoadSampler sampler({{0, 1}, 0.5, 2}, true, host.proc.path());
  const pid_t inits[] = {100};
  sampler.sample(0, kSecond, inits);
  host.busy0 += 100;
  host.busy1 += 100;
  host.write();
  host.write_job(100, 1025, 250'000'000, 10);
  const LoadSample sample = sampler.sample(0, 2 * kSecond, inits);
  EXPECT_NEAR(value(sample, Factor::CpuShare), 0.5, 0.01);  // a quarter of a CPU of the half one it may count on
  EXPECT_NEAR(value(sample, Factor::RunQueue), 1.0, 0.01);
  EXPECT_NEAR(value(sample, Factor::MemoryUsed), 40.0 / 250, 0.01);  // 10 pages of its quarter of the memory
  for (const Factor factor :
       {Factor::IoBlocks, Factor::PageOps, Factor::Interrupts, Factor::ContextSwitches, Factor::SwapUsed})
    EXPECT_FALSE(known(sample, factor));
  EXPECT_EQ(sample.foreign_cpu_share, 0);
}

TEST(Sampler, AJobSeenAnewCountsAtMostItsThreads) {
  FakeHost host;
  host.write();
  LoadSampler sampler({{0, 1}, 2, 2}, true, host.proc.path());
  sampler.sample(0, kSecond, {});
  host.write_job(100, 1'000'000, 0);  // hours of CPU, adopted from an earlier world
  const pid_t inits[] = {100};
  EXPECT_NEAR(value(sampler.sample(0, 2 * kSecond, inits), Factor::CpuShare), 0.5, 0.01);
  EXPECT_TRUE(sampler.runnable().empty());  // what it wants is not known yet
}

TEST(Sampler, NeedsNoFileAtAll) {
  LoadSampler sampler(kWholeHost, false, "/nonexistent");
  const pid_t inits[] = {1};
  sampler.sample(0, kSecond, inits);
  EXPECT_EQ(sampler.sample(0, 2 * kSecond, inits).known, 0U);
}

// A child that computes, and its init that waits for it, as a job and its shepherd.
TEST(Sampler, MeasuresARealJob) {
  const pid_t init = ::fork();
  if (init == 0) {
    if (::fork() == 0)
      for (std::atomic<unsigned> i = 0;; ++i) {
      }
    ::pause();
    ::_exit(0);
  }
  LoadSampler sampler({{0}, 1, 1}, true);
  const pid_t inits[] = {init};
  LoadSample sample;
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::steady_clock::now() - begin; };
  do {  // on a loaded machine the run queue, not the CPU share, shows the job at once
    sample = sampler.sample(0, static_cast<std::uint64_t>(begin.time_since_epoch().count() + elapsed().count()), inits);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  } while (classify(sample, default_watermarks(1)) != NodeState::Busy && elapsed() < std::chrono::seconds(30));
  EXPECT_EQ(classify(sample, default_watermarks(1)), NodeState::Busy);
  EXPECT_GT(value(sample, Factor::RunQueue), 0.7);
  std::ifstream children(fmt::format("/proc/{}/task/{}/children", init, init));
  pid_t child = 0;
  children >> child;
  if (child > 0) ::kill(child, SIGKILL);
  ::kill(init, SIGKILL);
  ::waitpid(init, nullptr, 0);
}

}  // namespace
}  // namespace drover
