// How often jobs arrive, of late: an exponentially weighted count, so one number remembers all.
#pragma once

#include <cmath>

namespace drover {

class ArrivalRate {
 public:
  void arrived(double now_seconds) {
    count_ = decayed(now_seconds) + 1;
    at_ = now_seconds;
  }
  double per_second(double now_seconds) const { return decayed(now_seconds) / kMemorySeconds; }

 private:
  static constexpr double kMemorySeconds = 10;
  double decayed(double now) const { return count_ * std::exp(-(now - at_) / kMemorySeconds); }
  double count_ = 0, at_ = 0;
};

}  // namespace drover
