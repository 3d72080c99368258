// Prints how long each phase of a command took.
#pragma once

#include <fmt/format.h>
#include <time.h>

#include <cstdio>

#include "ckpt/sys/clocks.h"

namespace drover {

class Timing {
 public:
  explicit Timing(bool print) : print_(print), last_(clock_ns(CLOCK_MONOTONIC)) {}
  // The phase that ends now.
  void phase(const char* name) {
    const std::int64_t now = clock_ns(CLOCK_MONOTONIC);
    if (print_) fmt::print(stderr, "{:<10} {:>9.3f} ms\n", name, static_cast<double>(now - last_) / 1e6);
    last_ = now;
  }

 private:
  bool print_;
  std::int64_t last_;
};

}  // namespace drover
