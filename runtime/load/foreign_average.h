// The threads that others run on this node, smoothed twice: soon enough for an owner who comes back, and slowly enough
// that a burst of a second or two moves no job, since it would be over before the move has paid.
#pragma once

#include <algorithm>
#include <cstdint>

namespace drover {

class ForeignAverage {
 public:
  // `threads` were runnable on average since the last call; the first one only says when that begins.
  void measured(double threads, std::uint64_t monotonic_ns) {
    const double seconds = last_ns_ == 0 ? 0 : static_cast<double>(monotonic_ns - last_ns_) / 1e9;
    last_ns_ = monotonic_ns;
    if (seconds <= 0) return;
    recent_ = (recent_ + threads) / 2;
    // While it is younger than its memory all of its measurements count alike.
    age_seconds_ = std::min(age_seconds_ + seconds, kMemorySeconds);
    lasting_ += (threads - lasting_) * std::min(seconds / age_seconds_, 1.0);
  }
  double recent() const { return recent_; }    // over two measurements or so
  double lasting() const { return lasting_; }  // over ten seconds or so

 private:
  static constexpr double kMemorySeconds = 10;
  double recent_ = 0, lasting_ = 0, age_seconds_ = 0;
  std::uint64_t last_ns_ = 0;
};

}  // namespace drover
