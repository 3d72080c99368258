#include "runtime/doctor/findings.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace drover {
namespace {

HostFacts good_host() {
  HostFacts facts;
  facts.kernel.release = "6.18.0";
  facts.kernel.pagemap_scan = facts.kernel.time_namespaces = facts.kernel.sched_debug = true;
  facts.may_suspend_seccomp = true;
  facts.open_files = facts.processes = ~std::uint64_t{0};
  facts.state_dir = "/shared/drover";
  facts.state_file_system = "nfs";
  facts.state_free_kib = 50 << 20;
  facts.shm_free_kib = 8 << 20;
  return facts;
}

Finding find(const HostFacts& facts, const std::string& check) {
  const auto findings = judge(facts);
  const auto found =
      std::find_if(findings.begin(), findings.end(), [&](const Finding& finding) { return finding.check == check; });
  return found != findings.end() ? *found : Finding{"none", Condition::Missing, ""};
}

TEST(Findings, OfAHostThatGivesAllAreFine) {
  for (const Finding& finding : judge(good_host())) EXPECT_EQ(finding.condition, Condition::Ok) << finding.check;
  EXPECT_EQ(find(good_host(), "state directory").detail, "/shared/drover (nfs, 50 GiB free)");
}

TEST(Findings, NameWhatIsMissingAndTheWayOut) {
  HostFacts facts = good_host();
  facts.no_namespaces = "unshare: Operation not permitted";
  EXPECT_EQ(find(facts, "namespaces").condition, Condition::Missing);
  EXPECT_NE(find(facts, "namespaces").detail.find("unshare: Operation not permitted"), std::string::npos);
  EXPECT_NE(find(facts, "namespaces").detail.find("sysctl"), std::string::npos);
  facts.state_error = "link: Operation not permitted";
  EXPECT_EQ(find(facts, "state directory").condition, Condition::Missing);
  EXPECT_NE(find(facts, "state directory").detail.find("DROVER_STATE_DIR"), std::string::npos);
}

TEST(Findings, TracingIsLimitedByYamaFromOneOnAndImpossibleAtThree) {
  HostFacts facts = good_host();
  const auto with = [&](int scope, bool root) {
    facts.ptrace_scope = scope;
    facts.root = root;
    return find(facts, "ptrace").condition;
  };
  EXPECT_EQ(with(-1, false), Condition::Ok);
  EXPECT_EQ(with(0, false), Condition::Ok);
  EXPECT_EQ(with(1, false), Condition::Limited);
  EXPECT_EQ(with(2, false), Condition::Limited);
  EXPECT_EQ(with(2, true), Condition::Ok);
  EXPECT_EQ(with(3, true), Condition::Missing);
}

TEST(Findings, SayWhatALimitCosts) {
  HostFacts facts = good_host();
  facts.kernel.pagemap_scan = facts.kernel.time_namespaces = facts.kernel.sched_debug = false;
  facts.may_suspend_seccomp = false;
  facts.open_files = 256;
  facts.processes = 100;
  facts.state_free_kib = facts.shm_free_kib = 64 << 10;
  int limited = 0;
  for (const Finding& finding : judge(facts)) {
    EXPECT_NE(finding.condition, Condition::Missing) << finding.check;
    limited += finding.condition == Condition::Limited ? 1 : 0;
  }
  EXPECT_EQ(limited, 8);
  EXPECT_NE(find(facts, "open files").detail.find("256 only"), std::string::npos);
  EXPECT_NE(find(facts, "shared memory").detail.find("64 MiB"), std::string::npos);
}

TEST(Findings, OfAClockAllowForHowWellItIsKnown) {
  EXPECT_EQ(judge_clock(80, 1).condition, Condition::Ok);
  EXPECT_EQ(judge_clock(-150, 1).condition, Condition::Limited);
  EXPECT_EQ(judge_clock(-150, 100).condition, Condition::Ok);
  EXPECT_EQ(judge_clock(2000.04, 0.5).detail.find("+2000.0 ms (to within 0.5 ms)"), 0U);
}

}  // namespace
}  // namespace drover
