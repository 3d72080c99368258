// How often jobs arrive, or how many bytes, of late: an exponentially weighted count, so one number remembers all. A
// long silence counts at once: who has just seen the last of a batch must not expect more for as long as he remembers.
#pragma once

#include <cmath>

namespace drover {

class ArrivalRate {
 public:
  void arrived(double now_seconds, double amount = 1) {
    count_ = decayed(now_seconds) + amount;
    at_ = now_seconds;
    last_ = amount;
  }
  // At most what would have come once in the time since the last one did. Of a Poisson process that is 0.85 of the rate
  // on average: (1 - 1/e) + E1(1).
  double per_second(double now_seconds) const {
    const double remembered = decayed(now_seconds) / kMemorySeconds, silence = now_seconds - at_;
    return silence * remembered > last_ ? last_ / silence : remembered;
  }

 private:
  static constexpr double kMemorySeconds = 5;
  double decayed(double now) const { return count_ * std::exp(-(now - at_) / kMemorySeconds); }
  double count_ = 0, at_ = 0, last_ = 0;
};

}  // namespace drover
