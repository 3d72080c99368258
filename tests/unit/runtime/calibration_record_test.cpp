// The stored calibration, what a node makes of it, and the programs that measure.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "ckpt/sys/error.h"
#include "runtime/load/calibration/limited_group.h"
#include "runtime/load/calibration/load_program.h"
#include "runtime/load/calibration/marks.h"
#include "runtime/load/calibration/record.h"
#include "tests/unit/runtime/temporary_directory.h"

namespace drover {
namespace {

Calibration example() {
  Calibration out;
  out.host = "alpha";
  out.date = "2025-03-04T05:06:07Z";
  out.machine = {"Some CPU", 8, 16'000'000, "6.1.0-18-amd64", "0123456789abcdef"};
  out.capacity = 8;
  out.speed = 1.25;
  out.factors.push_back(
      {Factor::RunQueue, Verdict::Measured, 0.75, 0.95, "", "busy programs", {{0, 0, 0}, {8, 1, 0.4}}});
  out.factors.push_back({Factor::CpuShare, Verdict::Undecided, 0, 0, "not far enough", "busy programs", {{0, 0, 0}}});
  out.factors.push_back(
      {Factor::IoBlocks, Verdict::Harmless, 0, 0, "does not slow", "MB/s", {{0, 0, 0}, {9, 1e6, 0.01}}});
  out.factors.push_back({Factor::SwapUsed, Verdict::Impossible, 0, 0, "this machine has no swap", "swap", {}});
  return out;
}

TEST(Record, ComesBackAsItWas) {
  const Calibration before = example(), after = parse_calibration(calibration_json(before), "alpha.json");
  EXPECT_EQ(calibration_json(after), calibration_json(before));
  EXPECT_EQ(after.host, "alpha");
  EXPECT_EQ(after.machine.pus, 8U);
  EXPECT_EQ(after.speed, 1.25);
  ASSERT_EQ(after.factors.size(), 4U);
  EXPECT_EQ(after.factors[0].high, 0.95);
  EXPECT_EQ(after.factors[0].curve, before.factors[0].curve);
  EXPECT_EQ(after.factors[3].reason, "this machine has no swap");
}

std::string error_of(const std::string& from, const std::string& to) {
  std::string text = calibration_json(example());
  const auto at = text.find(from);
  if (at == std::string::npos) return "the example lacks " + from;
  try {
    parse_calibration(text.replace(at, from.size(), to), "alpha.json");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Record, BadOnesAreErrorsThatNameTheFile) {
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"version\": 1", "\"version\": 2"},
                                                        {"\"speed\": 1.25", "\"speed\": -1"},
                                                        {"\"speed\": 1.25", "\"speed\": \"fast\""},
                                                        {"\"capacity\": 8.0", "\"capacity\": 0"},
                                                        {"\"run_queue\"", "\"run_cue\""},
                                                        {"\"harmless\"", "\"armless\""},
                                                        {"\"high\": 0.95", "\"high\": 0.5"},  // below low
                                                        {"\"high\": 0.95", "\"higher\": 0.95"},
                                                        {"{", "["}}) {
    const std::string error = error_of(from, to);
    EXPECT_EQ(error.rfind("alpha.json: no calibration: ", 0), 0U) << to << ": " << error;
    EXPECT_NE(error.find("drover calibrate"), std::string::npos);
  }
  EXPECT_THROW(parse_calibration("", "f"), std::runtime_error);
  EXPECT_THROW(parse_calibration("[]", "f"), std::runtime_error);
}

TEST(Record, IsReplacedAsAWhole) {
  const TemporaryDirectory home;
  const std::string path = home.path() + "/new/folders/alpha.json";
  EXPECT_FALSE(load_calibration(path));
  store_calibration(example(), path);
  Calibration second = example();
  second.speed = 2;
  store_calibration(second, path);
  EXPECT_EQ(load_calibration(path).value().speed, 2);
  const auto files = std::distance(std::filesystem::directory_iterator(home.path() + "/new/folders"), {});
  EXPECT_EQ(files, 1);
}

TEST(Identity, NamesTheFirstDifference) {
  const MachineIdentity machine = example().machine;
  EXPECT_EQ(identity_difference(machine, machine), "");
  MachineIdentity other = machine;
  other.memory_kib = machine.memory_kib + machine.memory_kib / 100;  // a newer kernel keeps less for itself
  EXPECT_EQ(identity_difference(machine, other), "");
  other.memory_kib = machine.memory_kib * 2;
  EXPECT_EQ(identity_difference(machine, other), "its memory in KiB is 32000000, the calibrated one's 16000000");
  other.kernel = "6.6.1";
  EXPECT_EQ(identity_difference(machine, other), "its kernel is 6.6.1, the calibrated one's 6.1.0-18-amd64");
  other.pus = 4;
  EXPECT_EQ(identity_difference(machine, other), "its number of PUs is 4, the calibrated one's 8");
  other.cpu_model = "Another";
  EXPECT_EQ(identity_difference(machine, other), "its CPU is Another, the calibrated one's Some CPU");
  other.machine_id_hash = "x";
  EXPECT_EQ(identity_difference(machine, other), "its machine id's hash is x, the calibrated one's 0123456789abcdef");
}

TEST(Identity, OfThisMachineIsStable) {
  const MachineIdentity machine = this_machine();
  EXPECT_EQ(identity_difference(machine, this_machine()), "");
  EXPECT_GT(machine.pus, 0U);
  EXPECT_GT(machine.memory_kib, 0U);
  EXPECT_FALSE(machine.kernel.empty());
}

const std::string& from(const NodeMarks& marks, Factor factor) { return marks.from[static_cast<std::size_t>(factor)]; }

TEST(Marks, WithoutACalibrationAreTheDefaults) {
  const NodeMarks marks = choose_marks(8, false, std::nullopt, "", "");
  EXPECT_EQ(marks.marks[Factor::RunQueue].high, default_watermarks(8)[Factor::RunQueue].high);
  EXPECT_EQ(from(marks, Factor::RunQueue), "default");
  EXPECT_EQ(marks.speed, 1);
}

TEST(Marks, FollowTheCalibration) {
  const NodeMarks marks = choose_marks(8, false, example(), "", "");
  const Watermarks defaults = default_watermarks(8);
  EXPECT_EQ(marks.marks[Factor::RunQueue].low, 0.75);
  EXPECT_EQ(marks.marks[Factor::RunQueue].high, 0.95);
  EXPECT_EQ(marks.marks[Factor::RunQueue].weight, 6);
  EXPECT_EQ(from(marks, Factor::RunQueue), "calibrated 2025-03-04");
  EXPECT_EQ(marks.marks[Factor::CpuShare].high, defaults[Factor::CpuShare].high);  // undecided
  EXPECT_EQ(from(marks, Factor::CpuShare), "default");
  EXPECT_EQ(marks.marks[Factor::IoBlocks].weight, 0);  // harmless
  EXPECT_EQ(marks.marks[Factor::SwapUsed].weight, 0);  // impossible
  EXPECT_EQ(from(marks, Factor::SwapUsed), "calibrated 2025-03-04");
  EXPECT_EQ(from(marks, Factor::PageOps), "default");  // not in the file
  EXPECT_EQ(marks.speed, 1.25);
  EXPECT_EQ(marks.warning, "");
}

TEST(Marks, TheConfigurationHasTheLastWord) {
  const NodeMarks marks = choose_marks(
      8, false, example(), "[watermarks.run_queue]\nhigh = 0.99\n[watermarks.io_blocks]\nweight = 2\n", "drover.toml");
  EXPECT_EQ(marks.marks[Factor::RunQueue].low, 0.75);
  EXPECT_EQ(marks.marks[Factor::RunQueue].high, 0.99);
  EXPECT_EQ(marks.marks[Factor::IoBlocks].weight, 2);
  EXPECT_EQ(from(marks, Factor::RunQueue), "config");
  EXPECT_EQ(from(marks, Factor::IoBlocks), "config");
  EXPECT_EQ(from(marks, Factor::SwapUsed), "calibrated 2025-03-04");
}

TEST(Marks, AConfigurationInConflictWinsWithAWarning) {
  const std::string config = "[watermarks.run_queue]\nlow = 0.96\n";  // fits the default high one, not the calibrated
  const NodeMarks marks = choose_marks(8, false, example(), config, "drover.toml");
  EXPECT_EQ(marks.marks[Factor::RunQueue].low, 0.96);
  EXPECT_EQ(from(marks, Factor::RunQueue), "config");
  EXPECT_EQ(from(marks, Factor::SwapUsed), "default");
  EXPECT_NE(marks.warning.find("drover.toml: watermarks.run_queue.low = 0.96"), std::string::npos) << marks.warning;
  EXPECT_THROW(choose_marks(8, false, example(), "[watermarks.run_queue]\nlow = 5\n", "drover.toml"),
               std::runtime_error);
}

TEST(Marks, OnASharedHostOnlyTheSpeedHolds) {
  const NodeMarks marks = choose_marks(4, true, example(), "", "");
  EXPECT_EQ(marks.speed, 1.25);
  for (const std::string& origin : marks.from) EXPECT_EQ(origin, "default");
  EXPECT_EQ(marks.marks[Factor::SwapUsed].weight, 1);
}

TEST(Marks, OfThePusAreOfOneCapacity) {
  const NodeMarks marks = choose_marks(4, false, example(), "", "");
  EXPECT_EQ(marks.marks[Factor::RunQueue].high, default_watermarks(4)[Factor::RunQueue].high);
  EXPECT_EQ(from(marks, Factor::RunQueue), "default");
  EXPECT_EQ(marks.marks[Factor::IoBlocks].weight, 0);
}

TEST(LoadProgram, RunsUntilItsObjectEnds) {
  const SharedCounter counter;
  {
    LoadProgram program([&] {
      for (;;) ++counter.get();
    });
    while (counter.get() == 0) ::usleep(1000);
    EXPECT_TRUE(program.alive());
  }
  const std::uint64_t at_end = counter.get();
  ::usleep(20'000);
  EXPECT_EQ(counter.get(), at_end);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no child is left
  EXPECT_EQ(errno, ECHILD);
}

TEST(LoadProgram, DiesWithItsParent) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    const LoadProgram program([&] {
      [[maybe_unused]] const auto said = ::write(ends[1], "x", 1);
      for (;;) ::pause();
    });
    for (;;) ::pause();
  }
  ::close(ends[1]);
  char byte = 0;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);  // it runs
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);  // the last writer has ended
  ::close(ends[0]);
}

TEST(Interruptible, ASignalEndsTheSleep) {
  const Interruptible wait;
  wait.sleep(std::chrono::milliseconds(1));
  for (const int signo : {SIGINT, SIGTERM, SIGHUP}) {
    ::kill(::getpid(), signo);
    try {
      wait.sleep(std::chrono::hours(1));
      ADD_FAILURE() << "slept an hour";
    } catch (const Interrupted& interrupted) {
      EXPECT_EQ(interrupted.signal, signo);
    }
  }
}

// As on a host with v2: the memory controller is only there below the slice. Folders stand for groups; the last step,
// entering, can't work in them, so the reason tells how far each try came.
TEST(LimitedGroup, SaysWhyThereIsNone) {
  const TemporaryDirectory proc, groups;
  std::string reason;
  EXPECT_EQ(LimitedGroup::make(1, reason, ProcDir(proc.path())), nullptr);
  EXPECT_EQ(reason, "no memory cgroup hierarchy is mounted");
  proc.write("self/cgroup", "0::/slice/scope\n");
  proc.write("self/mounts", "cgroup " + groups.path() + " cgroup2 rw 0 0\n");
  EXPECT_EQ(LimitedGroup::make(1, reason, ProcDir(proc.path())), nullptr);  // tries scope, slice and root
  EXPECT_EQ(reason.rfind("can't limit a cgroup's memory: " + groups.path() + "/drover-calibrate-", 0), 0U) << reason;
  EXPECT_TRUE(std::filesystem::is_empty(groups.path()));
}

TEST(LimitedGroup, RemovesWhatAKilledOneLeft) {
  const TemporaryDirectory proc, groups;
  proc.write("self/cgroup", "2:memory:/\n");
  proc.write("self/mounts", "cgroup " + groups.path() + " cgroup rw,memory 0 0\n");
  const std::string left = groups.path() + "/drover-calibrate-999999999";  // above any pid: PID_MAX_LIMIT is 2^22
  const std::string in_use = fmt::format("{}/drover-calibrate-{}", groups.path(), ::getppid());
  std::filesystem::create_directory(left);
  std::filesystem::create_directory(in_use);
  std::filesystem::create_directory(groups.path() + "/somebody-else");
  std::string reason;
  EXPECT_EQ(LimitedGroup::make(1, reason, ProcDir(proc.path())), nullptr);
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_TRUE(std::filesystem::exists(in_use));
  EXPECT_TRUE(std::filesystem::exists(groups.path() + "/somebody-else"));
}

TEST(NamelessFile, LeavesNothing) {
  const TemporaryDirectory directory;
  const UniqueFd fd = nameless_file(directory.path());
  EXPECT_EQ(::write(fd.get(), "x", 1), 1);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  EXPECT_THROW(nameless_file("/nonexistent"), SystemError);
}

}  // namespace
}  // namespace drover
