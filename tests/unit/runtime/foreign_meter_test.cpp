// Foreign load in a cgroup, from /proc and cgroup trees that the tests write, and for one test from real ones.
#include "runtime/load/foreign_meter.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "runtime/load/sampler.h"
#include "tests/unit/runtime/temporary_directory.h"

namespace drover {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr pid_t kDroverd = 10, kInit = 20, kJob = 21, kShell = 30, kLoop = 31;

// droverd, a shepherd's init with a job below it, and a shell whose child computes. Times in ticks of 10 ms.
class FakeGroup {
 public:
  FakeGroup() {
    process(kDroverd, 1, "droverd", 0);
    process(kDroverd + 1, kDroverd, "drover-spawner", 0);
    process(kInit, kDroverd + 1, "x", 0);  // known as an init, whatever its name
    process(kJob, kInit, "job", 0);
    process(kShell, 1, "sh", 0);
    process(kLoop, kShell, "a) b", 0);
    members("", {kDroverd, kDroverd + 1, kInit, kJob, kShell, 0});  // 0: outside this PID namespace
    members("below/more", {kLoop});
  }
  void process(pid_t pid, pid_t parent, const char* name, std::uint64_t ticks, std::uint64_t children = 0,
               std::uint64_t waited_ns = 0, std::uint64_t start = 5) const {
    proc.write(fmt::format("{}/stat", pid), fmt::format("{} ({}) R {} 1 1 0 -1 0 0 0 0 0 {} 0 {} 0 20 0 1 0 {} 0 9 0\n",
                                                        pid, name, parent, ticks, children, start));
    proc.write(fmt::format("{}/task/{}/schedstat", pid, pid), fmt::format("{} {} 9\n", ticks * 10'000'000, waited_ns));
  }
  void end(pid_t pid) const { std::filesystem::remove_all(proc.path() + "/" + std::to_string(pid)); }
  void members(const std::string& group, std::initializer_list<pid_t> pids) const {
    std::string text;
    for (const pid_t pid : pids) text += std::to_string(pid) + "\n";
    groups.write("g/" + group + "/cgroup.procs", text);
  }
  // However long a walk takes here, the next one is at its time.
  ForeignMeter meter() const {
    return {ProcDir(proc.path()), Cgroup{groups.path(), "/g", false}, 4, kDroverd, WalkBudget(0)};
  }
  TemporaryDirectory proc, groups;
};

const pid_t kInits[] = {kInit};

TEST(ForeignMeter, CountsNeitherDroverNorItsJobs) {
  const FakeGroup group;
  ForeignMeter meter = group.meter();
  EXPECT_EQ(meter.measure(kSecond, kInits).running, 0);
  group.process(kDroverd, 1, "droverd", 100);
  group.process(kInit, kDroverd + 1, "x", 100);
  group.process(kJob, kInit, "job", 100, 0, kSecond);
  group.process(kLoop, kShell, "a) b", 50, 0, kSecond * 3 / 2);
  const ForeignLoad load = meter.measure(3 * kSecond, kInits);
  EXPECT_NEAR(load.running, 0.25, 1e-9);
  EXPECT_NEAR(load.waiting, 0.75, 1e-9);
}

// As a job's shepherd that nobody has asked for yet: its name tells.
TEST(ForeignMeter, KnowsAShepherdByItsName) {
  const FakeGroup group;
  group.process(kInit, 1, "drover-shepherd", 0);
  ForeignMeter meter = group.meter();
  meter.measure(kSecond, {});
  group.process(kJob, kInit, "job", 100, 0, kSecond);
  const ForeignLoad load = meter.measure(2 * kSecond, {});
  EXPECT_EQ(load.running + load.waiting, 0);
}

TEST(ForeignMeter, AJobThatEndsIsNotTheOwnersReturn) {
  const FakeGroup group;
  ForeignMeter meter = group.meter();
  meter.measure(kSecond, kInits);
  group.end(kInit);
  group.end(kJob);  // with what it has used since
  EXPECT_EQ(meter.measure(2 * kSecond, {}).running, 0);
}

// The list names it before its init, since ids have begun anew, or since the kernel sorts them not at all.
TEST(ForeignMeter, AJobWhoseInitEndsWhileWeLookIsNotTheOwnersReturn) {
  const FakeGroup group;
  ForeignMeter meter = group.meter();
  meter.measure(kSecond, kInits);
  group.process(kJob, kInit, "job", 100, 0, kSecond);
  group.end(kInit);  // but listed
  const ForeignLoad load = meter.measure(2 * kSecond, {});
  EXPECT_EQ(load.running + load.waiting, 0);
}

TEST(ForeignMeter, WhoIsKnownStaysForeignWhenItsParentEndsWhileWeLook) {
  const FakeGroup group;
  ForeignMeter meter = group.meter();
  meter.measure(kSecond, kInits);
  group.process(kLoop, kShell, "a) b", 50);
  group.end(kShell);
  EXPECT_NEAR(meter.measure(2 * kSecond, kInits).running, 0.5, 1e-9);
}

TEST(ForeignMeter, ChildrenThatEndCountOnce) {
  const FakeGroup group;
  group.process(kLoop, kShell, "a) b", 1000);
  group.process(32, kLoop, "grandchild", 500);
  group.members("below", {32});
  ForeignMeter meter = group.meter();
  meter.measure(kSecond, kInits);
  group.end(kLoop);
  group.end(32);
  group.process(kShell, 1, "sh", 0, 1000 + 500 + 30);  // both, to the last
  EXPECT_NEAR(meter.measure(2 * kSecond, kInits).running, 0.3, 1e-9);
  group.process(kShell, 1, "sh", 0, 1530 + 80);  // some that came and went meanwhile
  EXPECT_NEAR(meter.measure(3 * kSecond, kInits).running, 0.8, 1e-9);
}

TEST(ForeignMeter, OneThatComesIntoTheGroupCountsAtMostItsThreads) {
  const FakeGroup group;
  ForeignMeter meter = group.meter();
  meter.measure(kSecond, kInits);
  group.process(40, 1, "old", 1'000'000, 0, 1000 * kSecond);  // hours of CPU, elsewhere
  group.process(kLoop, kShell, "reused", 90, 0, 0, 77);       // another process with the PID of one that ended
  group.members("x", {40});
  const ForeignLoad load = meter.measure(2 * kSecond, kInits);
  EXPECT_NEAR(load.running, 1.9, 1e-9);
  EXPECT_NEAR(load.waiting, 1, 1e-9);
}

TEST(ForeignMeter, ParentsInACircleDoNoHarm) {
  const FakeGroup group;
  group.process(kShell, kLoop, "sh", 0);
  ForeignMeter meter = group.meter();
  meter.measure(kSecond, kInits);
  group.end(kShell);
  group.end(kLoop);
  EXPECT_EQ(meter.measure(2 * kSecond, kInits).running, 0);
}

TEST(ForeignMeter, NeedsNoFileAtAll) {
  ForeignMeter meter(ProcDir("/nonexistent"), {"/nonexistent", "/a", true}, 1, 1);
  meter.measure(kSecond, {});
  EXPECT_EQ(meter.measure(2 * kSecond, {}).running, 0);
}

TEST(Sampler, OfAGroupOfItsOwnKnowsTheForeignLoadToo) {
  for (const bool shared_host : {true, false}) {
    const FakeGroup group;
    LoadSampler sampler({{0, 1}, 0.5, 2}, shared_host, group.proc.path(), Cgroup{group.groups.path(), "/g", true});
    sampler.sample(0, kSecond, kInits);
    group.process(kJob, kInit, "job", 10, 0, kSecond / 10);
    group.process(kLoop, kShell, "loop", 40, 0, kSecond * 6 / 10);  // one busy loop under the quota of half a CPU
    const LoadSample sample = sampler.sample(0, 2 * kSecond, kInits);
    EXPECT_NEAR(sample.foreign_cpu_share, 0.8, 1e-6);
    EXPECT_NEAR(sample.foreign_run_queue, 2, 1e-6);
    EXPECT_NEAR(sample.factors[static_cast<std::size_t>(Factor::RunQueue)], 2.4, 1e-6);
    EXPECT_NEAR(sample.factors[static_cast<std::size_t>(Factor::CpuShare)], 1, 1e-6);
  }
}

// This test's own group stands for a node's: what its children use is found there, also through the real files.
TEST(ForeignMeter, FindsARealLoad) {
  const TemporaryDirectory groups;
  const pid_t loop = ::fork();
  if (loop == 0)
    for (std::atomic<unsigned> i = 0;; ++i) {
    }
  groups.write("g/cgroup.procs", fmt::format("{}\n{}\n", ::getpid(), loop));
  ForeignMeter meter(ProcDir("/proc"), {groups.path(), "/g", true}, 64, ::getpid());
  const auto now = [] {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  };
  ForeignMeter stranger(ProcDir("/proc"), {groups.path(), "/g", true}, 64, 1 << 30);
  ForeignLoad own, foreign;
  const std::uint64_t begin = now();
  do {
    own = meter.measure(now(), {});
    foreign = stranger.measure(now(), {});
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  } while (foreign.running + foreign.waiting < 0.7 && now() < begin + 30 * kSecond);
  EXPECT_GT(foreign.running + foreign.waiting, 0.7);
  EXPECT_LT(foreign.running, 1.2);
  EXPECT_EQ(own.running, 0);  // a child of droverd's is no stranger
  ::kill(loop, SIGKILL);
  ::waitpid(loop, nullptr, 0);
}

}  // namespace
}  // namespace drover
