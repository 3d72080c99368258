#include "ckpt/sys/background_call.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <stdexcept>

#include "ckpt/sys/one_processor.h"
#include "tests/unit/ckpt/own_cpus.h"

namespace drover {
namespace {

TEST(BackgroundCall, BeginsWhereItsCallerIsNotAndMayRunAnywhere) {
  const cpu_set_t all = own_cpus();
  if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "one processor";
  BackgroundCall call;
  ASSERT_TRUE(call.prepare());
  const OneProcessor here;
  const int cpu_here = ::sched_getcpu();
  constexpr int kTimes = 100;
  int elsewhere = 0, free = 0;
  for (int i = 0; i < kTimes; ++i) {
    int cpu = -1;
    cpu_set_t cpus;
    call.start(
        [&] {
          cpu = ::sched_getcpu();
          cpus = own_cpus();
        },
        BackgroundCall::Begin::Elsewhere);
    call.wait();
    elsewhere += cpu != cpu_here ? 1 : 0;
    free += CPU_EQUAL(&cpus, &all) ? 1 : 0;
  }
  EXPECT_EQ(free, kTimes);
  EXPECT_GT(elsewhere, kTimes * 9 / 10);  // the kernel may move it back once it runs
}

TEST(BackgroundCall, RunsWhereThereIsNoOtherProcessor) {
  const OneProcessor here;
  BackgroundCall call;  // its thread has one processor, too
  bool called = false;
  call.start([&] { called = true; }, BackgroundCall::Begin::Elsewhere);
  call.wait();
  EXPECT_TRUE(called);
}

TEST(BackgroundCall, EndsAndBeginsAgain) {
  BackgroundCall call;
  int calls = 0;
  call.end();
  for (int i = 0; i < 3; ++i) {
    call.start([&] { ++calls; });
    call.end();
    EXPECT_EQ(calls, i + 1);
  }
}

TEST(BackgroundCall, TellsWhatWasThrownOnce) {
  BackgroundCall call;
  call.start([] { throw std::runtime_error("no"); });
  EXPECT_THROW(call.wait(), std::runtime_error);
  call.start([] {});
  EXPECT_NO_THROW(call.wait());
}

}  // namespace
}  // namespace drover
