#include <gtest/gtest.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/restore/aio_checks.h"
#include "ckpt/sys/aio_ring.h"

namespace drover {
namespace {

TEST(AioArgument, IsTheLeastOneThatGivesTheSameRing) {
  EXPECT_EQ(aio_setup_argument(127, 2), 1U);
  EXPECT_EQ(aio_setup_argument(255, 2), 63U);
  EXPECT_EQ(aio_setup_argument(2047, 2), 959U);
}

TEST(AioArgument, ThereIsNoneBelowWhatProcessorsTake) {
  EXPECT_EQ(aio_setup_argument(127, 15), 1U);            // 60 requests at least
  EXPECT_EQ(aio_setup_argument(127, 16), std::nullopt);  // 64
  EXPECT_EQ(aio_setup_argument(255, 16), 63U);
  EXPECT_EQ(aio_setup_argument(1023, 512), std::nullopt);
}

TEST(AioArgument, ThereIsNoneForASizeThatNoRingHas) {
  for (const std::uint32_t slots : {0U, 1U, 126U, 128U, 254U, 0xffffffffU, kMostAioSlots + 127})
    EXPECT_EQ(aio_setup_argument(slots, 2), std::nullopt) << slots;
}

// What the kernel makes of all arguments that a program is likely to use.
TEST(AioArgument, TheKernelAgrees) {
  const std::uint32_t cpus = count_possible_cpus();
  ASSERT_GT(cpus, 0U);
  const auto make = [](std::uint32_t argument) -> std::uint32_t {
    aio_context_t context = 0;
    if (::syscall(SYS_io_setup, argument, &context) != 0) return 0;
    const std::uint32_t slots = reinterpret_cast<const AioRing*>(context)->slots;
    ::syscall(SYS_io_destroy, context);
    return slots;
  };
  for (const std::uint32_t argument : {1U, 32U, 62U, 63U, 100U, 128U, 1024U, 4096U}) {
    const std::uint32_t slots = make(argument);
    if (slots == 0) GTEST_SKIP() << "no aio context can be had here";
    const auto least = aio_setup_argument(slots, cpus);
    ASSERT_TRUE(least) << argument;
    EXPECT_LE(*least, argument);
    EXPECT_EQ(make(*least), slots) << argument;
  }
}

TEST(AioRing, CountsProcessors) {
  EXPECT_EQ(count_cpus("0"), 1U);
  EXPECT_EQ(count_cpus("0-3,8,10-11"), 7U);
  EXPECT_EQ(count_cpus(""), 0U);
  for (const char* bad : {"x", "3-1", "-", "0-99999999", "0,,1"}) EXPECT_EQ(count_cpus(bad), 0U) << bad;
}

TEST(AioRing, DistancesGoRound) {
  EXPECT_EQ(aio_distance(3, 3, 127), 0U);
  EXPECT_EQ(aio_distance(3, 5, 127), 2U);
  EXPECT_EQ(aio_distance(126, 1, 127), 2U);
}

AioRing sound_ring() { return {0, 127, 3, 5, 0xa10a10a1, 1, 0, 32}; }

TEST(AioRing, IsSoundAsTheKernelMadeItOnly) {
  EXPECT_TRUE(is_sound(sound_ring(), 4096));
  EXPECT_FALSE(is_sound(sound_ring(), 8192));
  for (const auto field : {&AioRing::slots, &AioRing::head, &AioRing::tail, &AioRing::magic,
                           &AioRing::incompatible_features, &AioRing::header_bytes}) {
    AioRing ring = sound_ring();
    ring.*field = 127 + 128;
    EXPECT_FALSE(is_sound(ring, 4096));
  }
}

MemoryState sound_memory() {
  MemoryState memory;
  memory.areas.push_back({0x1000, 0x2000, AreaKind::AioRing, 3, 0, 0, 0});
  memory.areas.push_back({0x2000, 0x3000, AreaKind::Anonymous, 3, 0, 0, 0});
  memory.areas.push_back({0x4000, 0x6000, AreaKind::AioRing, 3, 0, 0, 0});
  memory.aio.push_back({0x1000, 127, 126, 1, std::vector<AioEvent>(2), {0x2010}});
  memory.aio.push_back({0x4000, 255, 0, 0, {}, {}});
  return memory;
}

TEST(AioContexts, MatchTheirAreas) {
  EXPECT_TRUE(are_sound_contexts({}));
  EXPECT_TRUE(are_sound_contexts(sound_memory()));
  auto memory = sound_memory();
  std::swap(memory.aio[0], memory.aio[1]);
  EXPECT_FALSE(are_sound_contexts(memory));
  memory = sound_memory();
  memory.aio.pop_back();
  EXPECT_FALSE(are_sound_contexts(memory));
  memory = sound_memory();
  memory.aio.push_back(memory.aio.back());
  EXPECT_FALSE(are_sound_contexts(memory));
  memory = sound_memory();
  memory.areas[2].end += 0x1000;
  EXPECT_FALSE(are_sound_contexts(memory));
}

TEST(AioContexts, StayWithinTheirBounds) {
  const auto rejects = [](auto change) {
    auto memory = sound_memory();
    change(memory.aio[0]);
    return !are_sound_contexts(memory);
  };
  EXPECT_TRUE(rejects([](AioContext& c) { c.slots = 0xffffffff; }));
  EXPECT_TRUE(rejects([](AioContext& c) { c.head = 127; }));
  EXPECT_TRUE(rejects([](AioContext& c) { c.tail = 0xffffffff; }));
  EXPECT_TRUE(rejects([](AioContext& c) { c.unread.pop_back(); }));
  EXPECT_TRUE(rejects([](AioContext& c) { c.polls.resize(127); }));
}

}  // namespace
}  // namespace drover
