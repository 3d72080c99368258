// One filter of a thread (seccomp(2)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace drover {

struct SeccompFilter {
  std::uint32_t flags = 0;         // SECCOMP_FILTER_FLAG_LOG
  std::vector<std::byte> program;  // struct sock_filter, one after the other
  template <class A>
  void serialize(A& a, unsigned) {
    a& flags& program;
  }
};

}  // namespace drover
