#include "ckpt/sys/background_call.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <stdexcept>

namespace drover {
namespace {

cpu_set_t own_cpus() {
  cpu_set_t cpus;
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  return cpus;
}

class Pinned {
 public:
  Pinned() : before_(own_cpus()), cpu_(::sched_getcpu()) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu_, &one);
    ::sched_setaffinity(0, sizeof one, &one);
  }
  Pinned(const Pinned&) = delete;
  ~Pinned() { ::sched_setaffinity(0, sizeof before_, &before_); }
  int cpu() const { return cpu_; }

 private:
  cpu_set_t before_;
  int cpu_;
};

TEST(BackgroundCall, BeginsWhereItsCallerIsNotAndMayRunAnywhere) {
  const cpu_set_t all = own_cpus();
  if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "one processor";
  BackgroundCall call;
  ASSERT_TRUE(call.prepare());
  const Pinned pinned;
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
    elsewhere += cpu != pinned.cpu() ? 1 : 0;
    free += CPU_EQUAL(&cpus, &all) ? 1 : 0;
  }
  EXPECT_EQ(free, kTimes);
  EXPECT_GT(elsewhere, kTimes * 9 / 10);  // the kernel may move it back once it runs
}

TEST(BackgroundCall, RunsWhereThereIsNoOtherProcessor) {
  const Pinned pinned;
  BackgroundCall call;  // its thread has one processor, too
  bool called = false;
  call.start([&] { called = true; }, BackgroundCall::Begin::Elsewhere);
  call.wait();
  EXPECT_TRUE(called);
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
