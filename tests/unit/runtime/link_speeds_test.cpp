#include "runtime/migrate/link_speeds.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

// `mib` MiB in chunks of 256 KiB, at `bytes_per_second`, from `begin_ns` on; the time when the last one was sent.
std::uint64_t send(TransferMeter& meter, int mib, double bytes_per_second, std::uint64_t begin_ns) {
  for (int i = 0; i < mib * 4; ++i) {
    begin_ns += static_cast<std::uint64_t>(262144.0 * 1e9 / bytes_per_second);
    meter.sent(262144, begin_ns);
  }
  return begin_ns;
}

TEST(LinkSpeeds, NothingIsKnownAtFirst) {
  const LinkSpeeds speeds({true, false});
  EXPECT_EQ(speeds.get(1), 0);
  EXPECT_EQ(speeds.window(1), 4U);
  EXPECT_FALSE(speeds.compression_pays(1));
}

TEST(LinkSpeeds, AFullLinkIsMeasuredInTheMiddleOfAnImage) {
  LinkSpeeds speeds({true, false});
  TransferMeter meter;
  const auto filled = send(meter, 16, 8e9, 1);  // into the sockets' memory
  send(meter, 64, 100e6, filled);
  meter.report(speeds, 1);
  EXPECT_NEAR(speeds.get(1), 100e6, 1e6);
  EXPECT_EQ(speeds.window(1), 4U);
  EXPECT_TRUE(speeds.compression_pays(1));
}

TEST(LinkSpeeds, AWaitForTheProgramsPagesDoesNotSlowTheLink) {
  LinkSpeeds speeds({true, false});
  TransferMeter meter;
  auto now = send(meter, 32, 1e9, 1);
  now = send(meter, 1, 1e9, now + 5'000'000'000);
  send(meter, 31, 1e9, now);
  meter.report(speeds, 1);
  EXPECT_NEAR(speeds.get(1), 1e9, 1e7);
  EXPECT_FALSE(speeds.compression_pays(1));
}

TEST(LinkSpeeds, ALowerFigureCountsByDegreesAHigherOneAtOnce) {
  LinkSpeeds speeds({false});
  speeds.add(0, 1e9);
  speeds.add(0, 100e6);
  EXPECT_NEAR(speeds.get(0), 730e6, 1e6);
  speeds.add(0, 2e9);
  EXPECT_NEAR(speeds.get(0), 2e9, 1e6);
  speeds.add_lower_bound(0, 1e6);
  EXPECT_NEAR(speeds.get(0), 2e9, 1e6);
}

TEST(LinkSpeeds, SmallImagesGiveALowerBound) {
  LinkSpeeds speeds({false});
  TransferMeter tiny, small;
  tiny.sent(100'000, 1);
  tiny.sent(100'000, 1000);
  tiny.report(speeds, 0);
  EXPECT_EQ(speeds.get(0), 0);
  send(small, 4, 50e6, 1);
  small.report(speeds, 0);
  EXPECT_NEAR(speeds.get(0), 50e6, 5e6);
}

TEST(LinkSpeeds, EightMillisecondsAreInFlight) {
  LinkSpeeds speeds({false, true});
  speeds.add(0, 250e6);  // 2 MB
  EXPECT_EQ(speeds.window(0), 7U);
  speeds.add(0, 10e9);
  EXPECT_EQ(speeds.window(0) * kImageRing.slot_bytes, 4 * kMiB);
  EXPECT_EQ(speeds.window(1) * kImageRing.slot_bytes, 4 * kMiB);  // no link
  speeds.add(1, 1e6);
  EXPECT_FALSE(speeds.compression_pays(1));
}

}  // namespace
}  // namespace drover
