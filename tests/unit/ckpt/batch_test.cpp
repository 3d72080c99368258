#include "ckpt/freeze/batch.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <stdexcept>

#include "ckpt/sys/error.h"

namespace drover {
namespace {

TEST(Batch, EntriesLieRightBeforeTheDataAtTheBackOfTheSlot) {
  Batch batch(0x10000, 4096);
  const std::uint64_t at = batch.push_string("hello");
  EXPECT_EQ(at, 0x10000U + 4096 - 16);
  EXPECT_EQ(batch.data_address(), at);
  EXPECT_EQ(batch.must("open", SYS_open, at, 2, 0), 0U);
  EXPECT_EQ(batch.calls()[0].word[1], at);
  EXPECT_EQ(batch.calls()[0].word[2], 2U);
  EXPECT_EQ(batch.calls_address(), at - sizeof(Batch::Call));
  batch.may(SYS_getpid);
  const std::uint64_t more = batch.push_string("more");
  EXPECT_EQ(batch.calls_address(), more - 2 * sizeof(Batch::Call));
}

TEST(Batch, NegativeArgumentsAreSignExtended) {
  Batch batch(0, 4096);
  batch.may(SYS_openat, -100);
  EXPECT_EQ(batch.calls()[0].word[1], static_cast<std::uint64_t>(-100));
}

TEST(Batch, FullIsSaidAndFailureIsNamed) {
  Batch small(0, 128);
  small.may(1);
  small.may(1);
  EXPECT_THROW(small.may(1), std::length_error);
  EXPECT_THROW(small.space(1), std::length_error);
  Batch batch(0, 4096);
  batch.may(1);
  batch.must("mount the moon", 1);
  const Batch::Call results[2] = {{{1, 0, 0, 0, 0, 0, 0, static_cast<std::uint64_t>(-2)}},
                                  {{1, 0, 0, 0, 0, 0, 0, static_cast<std::uint64_t>(-13)}}};
  batch.set_results(std::as_bytes(std::span(results)));
  EXPECT_EQ(batch.result(0), -2);
  try {
    batch.check_results();
    FAIL();
  } catch (const SystemError& error) {
    EXPECT_STREQ(error.what(), "mount the moon: Permission denied");
    EXPECT_EQ(error.error(), 13);
  }
}

}  // namespace
}  // namespace drover
