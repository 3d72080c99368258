// Where memory shall come from (mempolicy, set_mempolicy(2), mbind(2)).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace drover {

inline constexpr std::size_t kNumaMaskWords = 16;  // 1024 nodes, the most that Linux can be built for

struct NumaPolicy {
  std::int32_t mode = 0;  // MPOL_* with its MPOL_F_* mode flags; 0: the default
  std::array<std::uint64_t, kNumaMaskWords> nodes{};
  bool operator==(const NumaPolicy&) const = default;
  template <class A>
  void serialize(A& a, unsigned) {
    a& mode& nodes;
  }
};

}  // namespace drover
