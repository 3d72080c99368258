#include "runtime/load/watermarks.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace drover {
namespace {

void put(LoadSample& sample, Factor factor, double value) {
  sample.factors[static_cast<std::size_t>(factor)] = static_cast<float>(value);
  sample.known = static_cast<std::uint16_t>(sample.known | 1U << static_cast<unsigned>(factor));
}

// A node that owns its host, with `jobs` programs that only compute on `pus` PUs.
LoadSample computing(double pus, double jobs) {
  LoadSample sample;
  put(sample, Factor::RunQueue, jobs / pus);
  put(sample, Factor::CpuShare, std::min(1.0, jobs / pus));
  put(sample, Factor::IoBlocks, 12);
  put(sample, Factor::PageOps, 0);
  put(sample, Factor::Interrupts, 300);
  put(sample, Factor::ContextSwitches, 200);
  put(sample, Factor::MemoryUsed, 0.1);
  put(sample, Factor::SwapUsed, 0);
  return sample;
}

TEST(Classify, ByDefaultIdleIsFreeAndFullIsBusy) {
  for (const double pus : {0.25, 0.5, 1.0, 2.0, 8.0, 64.0, 256.0}) {
    const Watermarks marks = default_watermarks(pus);
    EXPECT_EQ(classify(computing(pus, 0.01), marks), NodeState::Free) << pus;
    EXPECT_EQ(classify(computing(pus, pus), marks), NodeState::Busy) << pus;
    EXPECT_EQ(classify(computing(pus, pus + 3), marks), NodeState::Busy) << pus;
    EXPECT_EQ(classify(computing(pus, pus - 0.5 * std::min(1.0, pus)), marks), NodeState::Normal) << pus;
    if (pus >= 2) {
      EXPECT_EQ(classify(computing(pus, pus - 1), marks), NodeState::Free) << pus;
    }
  }
}

TEST(Classify, ByDefaultOnASharedHostToo) {
  LoadSample sample;  // only what the node's own jobs do is known there
  const Watermarks marks = default_watermarks(0.5);
  put(sample, Factor::RunQueue, 2);
  put(sample, Factor::CpuShare, 1);
  put(sample, Factor::MemoryUsed, 0.01);
  EXPECT_EQ(classify(sample, marks), NodeState::Busy);
  put(sample, Factor::CpuShare, 0.3);  // the host is crowded: the node's job gets less than its part
  EXPECT_EQ(classify(sample, marks), NodeState::Busy);
  put(sample, Factor::RunQueue, 0);
  put(sample, Factor::CpuShare, 0);
  EXPECT_EQ(classify(sample, marks), NodeState::Free);
}

TEST(Classify, EqualWeightsGiveTheMajorityOfFactors) {
  Watermarks marks;
  for (Watermark& mark : marks.factors) mark = {1, 2, 1};
  LoadSample sample;
  for (std::size_t i = 0; i < kFactors; ++i) put(sample, static_cast<Factor>(i), i < 5 ? 0.5 : 3);
  EXPECT_EQ(classify(sample, marks), NodeState::Free);
  for (std::size_t i = 0; i < kFactors; ++i) put(sample, static_cast<Factor>(i), i < 5 ? 3 : 0.5);
  EXPECT_EQ(classify(sample, marks), NodeState::Busy);
  for (std::size_t i = 0; i < kFactors; ++i) put(sample, static_cast<Factor>(i), i < 4 ? 3 : 0.5);  // half is not most
  EXPECT_EQ(classify(sample, marks), NodeState::Normal);
}

TEST(Classify, OnlyKnownFactorsVote) {
  Watermarks marks;
  for (Watermark& mark : marks.factors) mark = {1, 2, 1};
  LoadSample sample;
  EXPECT_EQ(classify(sample, marks), NodeState::Normal);
  put(sample, Factor::MemoryUsed, 3);
  EXPECT_EQ(classify(sample, marks), NodeState::Busy);
  marks[Factor::MemoryUsed].weight = 0;
  EXPECT_EQ(classify(sample, marks), NodeState::Normal);
}

std::string error_of(const std::string& config) {
  Watermarks marks = default_watermarks(2);
  const Watermarks before = marks;
  try {
    apply_config(marks, config, "drover.toml");
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(marks[Factor::RunQueue].low, before[Factor::RunQueue].low);
    return error.what();
  }
  return "";
}

TEST(Config, Overrides) {
  Watermarks marks = default_watermarks(2);
  apply_config(
      marks,
      "# ours\n[watermarks.run_queue]\nlow = 0.5\nhigh = 4\n[other]\nkey = 1\n[watermarks.swap_used]\nweight=0\n",
      "drover.toml");
  EXPECT_DOUBLE_EQ(marks[Factor::RunQueue].low, 0.5);
  EXPECT_DOUBLE_EQ(marks[Factor::RunQueue].high, 4);
  EXPECT_DOUBLE_EQ(marks[Factor::RunQueue].weight, 6);
  EXPECT_DOUBLE_EQ(marks[Factor::SwapUsed].weight, 0);
}

TEST(Config, ErrorsNameKeyValueAndRange) {
  EXPECT_EQ(error_of("[watermarks.cpu_share]\nhigh = 1.5\n"),
            "drover.toml: watermarks.cpu_share.high = '1.5': must be a number from 0 to 1");
  EXPECT_EQ(error_of("[watermarks.cpu_share]\nlow = few\n"),
            "drover.toml: watermarks.cpu_share.low = 'few': must be a number from 0 to 1");
  EXPECT_EQ(error_of("[watermarks.run_queue]\nlow = -1\n"),
            "drover.toml: watermarks.run_queue.low = '-1': must be a number from 0 to 10000");
  EXPECT_NE(error_of("[watermarks.runqueue]\nlow = 1\n").find("no such factor"), std::string::npos);
  EXPECT_NE(error_of("[watermarks.run_queue]\nlo = 1\n").find("no such key"), std::string::npos);
  EXPECT_NE(error_of("[watermarks.run_queue]\nlow = 5\nhigh = 4\n").find("from 0 to high"), std::string::npos);
  EXPECT_NE(error_of("[watermarks.run_queue]\nlow = nan\n").find("must be a number"), std::string::npos);
}

}  // namespace
}  // namespace drover
