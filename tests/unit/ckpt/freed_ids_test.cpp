#include "ckpt/restore/freed_ids.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

TEST(FreedIds, ATakenOneIsTriedAgainUntilItIsFree) {
  int calls = 0;
  EXPECT_EQ(with_freed_id([&] {
              if (++calls < 3) throw SystemError("clone3", {}, EEXIST);
              return 7;
            }),
            7);
  EXPECT_EQ(calls, 3);
}

TEST(FreedIds, OneThatStaysTakenIsToldFromOtherErrors) {
  EXPECT_THROW(with_freed_id([] { throw SystemError("clone3", {}, EEXIST); }), IdTaken);
  int calls = 0;
  try {
    with_freed_id([&] {
      ++calls;
      throw SystemError("clone3", {}, EPERM);
    });
    FAIL() << "it throws";
  } catch (const IdTaken&) {
    FAIL() << "nobody has it";
  } catch (const SystemError& error) {
    EXPECT_EQ(error.error(), EPERM);
  }
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace drover
