// Where and when an image was made, as far as a restorer must compare it with where and when it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace drover {

struct HostState {
  std::string kernel_release;
  std::string boot_id;
  std::uint64_t xcr0 = 0;
  std::uint32_t xsave_bytes = 0;
  std::vector<std::uint32_t> xsave_offsets;  // of state components 0..62 in the standard format, 0: none
  std::vector<std::string> instructions;
  std::vector<std::byte> vdso;
  // At the moment of freezing. The first two as the job saw them, in its time namespace.
  std::int64_t monotonic_ns = 0, boottime_ns = 0;
  std::int64_t host_boottime_ns = 0, realtime_ns = 0;

  template <class A>
  void serialize(A& a, unsigned) {
    a& kernel_release& boot_id& xcr0& xsave_bytes& xsave_offsets& instructions& vdso& monotonic_ns& boottime_ns&
        host_boottime_ns& realtime_ns;
  }
};

}  // namespace drover
