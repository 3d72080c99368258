#include "ckpt/sys/protection_keys.h"

#include <gtest/gtest.h>

#include "ckpt/restore/protection_keys.h"

namespace drover {

constexpr std::size_t kOffset = 2688;

TEST(ProtectionKeys, PkruOfAStateThatEndsEarlyIsZero) {
  std::vector<std::byte> xstate(576);
  EXPECT_EQ(pkru_of(xstate, kOffset), 0U);
  xstate.resize(kOffset + 2, std::byte{0x55});
  EXPECT_EQ(pkru_of(xstate, kOffset), 0x5555U);
}

TEST(ProtectionKeys, PkruIsSetWithItsBit) {
  std::vector<std::byte> xstate(576);
  xstate[512] = std::byte{3};
  set_pkru(xstate, 0x55555554, kOffset);
  EXPECT_EQ(xstate.size(), kOffset + 4);
  EXPECT_EQ(pkru_of(xstate, kOffset), 0x55555554U);
  EXPECT_EQ(key_rights(pkru_of(xstate, kOffset), 0), 0U);
  EXPECT_EQ(key_rights(pkru_of(xstate, kOffset), 15), 1U);
  EXPECT_EQ(xstate[512], std::byte{3});
  EXPECT_EQ(xstate[513], std::byte{2});
  set_pkru(xstate, 0, kOffset);
  EXPECT_EQ(pkru_of(xstate, kOffset), 0U);
}

TEST(ProtectionKeys, NothingIsSetWhereThereIsNoPkru) {
  std::vector<std::byte> xstate(576);
  set_pkru(xstate, 0x55555554, 0);
  EXPECT_EQ(xstate, std::vector<std::byte>(576));
}

TEST(ProtectionKeys, AMachineWithoutThemRefusesWhoUsesThem) {
  const auto none = [] { return false; };
  const auto all = [] { return true; };
  ImageModel model;
  model.processes.emplace_back().process.pid = 7;
  MemoryState& memory = model.processes.front().memory;
  memory.areas.emplace_back();
  EXPECT_FALSE(check_protection_keys(model, none));
  memory.areas.front().key = 3;  // freed since
  ASSERT_TRUE(check_protection_keys(model, none));
  EXPECT_EQ(check_protection_keys(model, none)->reason,
            "process 7 uses memory protection keys, which there are none of here");
  EXPECT_FALSE(check_protection_keys(model, all));
  memory.areas.front().key = 0;
  memory.keys.allocated = 3;
  EXPECT_TRUE(check_protection_keys(model, none));
  memory.keys = {1, 1};
  EXPECT_TRUE(check_protection_keys(model, none));
}

}  // namespace drover
