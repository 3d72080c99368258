// What must not grow with the number of moves.
#pragma once

#include <fmt/format.h>
#include <sched.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "ckpt/sys/text.h"

namespace drover {

class LeakCheck {
 public:
  LeakCheck() { ::sched_getaffinity(0, sizeof processors_, &processors_); }

  // The first call takes the measure.
  int look() {
    cpu_set_t processors;
    ::sched_getaffinity(0, sizeof processors, &processors);
    if (!CPU_EQUAL(&processors, &processors_)) {
      fmt::print(stderr, "move: {} processors, were {}\n", CPU_COUNT(&processors), CPU_COUNT(&processors_));
      return 1;
    }
    const std::size_t descriptors = list_numbers("/proc/self/fd").size(), processes = list_numbers("/proc").size();
    if (descriptors_ == 0) {
      descriptors_ = descriptors, processes_ = processes, kib_ = resident_kib();
      return 0;
    }
    const std::uint64_t kib = resident_kib();
    fmt::print(stderr, "move: {} descriptors, were {}; {} processes, were {}; {} KiB, were {}\n", descriptors,
               descriptors_, processes, processes_, kib, kib_);
#ifdef __SANITIZE_ADDRESS__
    constexpr std::uint64_t kSlackKib = 256 * 1024;  // freed memory is kept back
#else
    constexpr std::uint64_t kSlackKib = 512;  // a page of the heap here and there
#endif
    return descriptors > descriptors_ || processes > processes_ || kib > kib_ + kSlackKib ? 1 : 0;
  }

 private:
  static std::uint64_t resident_kib() {
    const std::string text = read_text("/proc/self/statm");
    std::string_view rest = text;
    next_word(rest);
    return to_number(next_word(rest)).value_or(0) * 4;
  }
  cpu_set_t processors_{};
  std::size_t descriptors_ = 0, processes_ = 0;
  std::uint64_t kib_ = 0;
};

}  // namespace drover
