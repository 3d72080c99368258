#include "runtime/migrate/link_speeds.h"

#include <algorithm>

namespace drover {

// What the sockets of the way hold must have been filled before completed sends tell the link's speed.
static constexpr std::uint64_t kSegmentBytes = 16 * 1024 * 1024;
static constexpr std::uint64_t kLeastBytes = 1024 * 1024;

void LinkSpeeds::add(int rank, double sample) {
  double& speed = bytes_per_second_.at(static_cast<std::size_t>(rank));
  speed = std::max(sample, 0.7 * speed + 0.3 * sample);
}

void LinkSpeeds::add_lower_bound(int rank, double sample) {
  double& speed = bytes_per_second_.at(static_cast<std::size_t>(rank));
  speed = std::max(sample, speed);
}

std::size_t LinkSpeeds::window(int rank) const {
  if (same_host_.at(static_cast<std::size_t>(rank))) return kImageRing.slots;
  constexpr double kInFlightSeconds = 0.008;
  const auto chunks = static_cast<std::size_t>(get(rank) * kInFlightSeconds / kImageRing.slot_bytes);
  return std::clamp<std::size_t>(chunks, 4, kImageRing.slots);
}

bool LinkSpeeds::compression_pays(int rank) const {
  // LZ4 takes in about 500 MB/s on one core and halves ordinary pages: below half that the link is what waits. Within a
  // host there is no link, only the CPU that compressing would take.
  constexpr double kSlowLink = 250e6;
  return !same_host_.at(static_cast<std::size_t>(rank)) && get(rank) > 0 && get(rank) < kSlowLink;
}

void TransferMeter::sent(std::uint64_t bytes, std::uint64_t now_ns) {
  if (begun_ns_ == 0) begun_ns_ = segment_ns_ = now_ns;
  last_ns_ = now_ns;
  bytes_ += bytes;
  segment_bytes_ += bytes;
  if (segment_bytes_ < kSegmentBytes) return;
  const bool first = bytes_ == segment_bytes_;
  if (!first && now_ns > segment_ns_)
    best_ = std::max(best_, static_cast<double>(segment_bytes_) * 1e9 / static_cast<double>(now_ns - segment_ns_));
  segment_ns_ = now_ns;
  segment_bytes_ = 0;
}

void TransferMeter::report(LinkSpeeds& speeds, int rank) const {
  if (best_ > 0) return speeds.add(rank, best_);
  if (bytes_ >= kLeastBytes && last_ns_ > begun_ns_)
    speeds.add_lower_bound(rank, static_cast<double>(bytes_) * 1e9 / static_cast<double>(last_ns_ - begun_ns_));
}

}  // namespace drover
