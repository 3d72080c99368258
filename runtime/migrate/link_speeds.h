// How fast images go to each peer, as seen on those that went: for the cost of a move, for how much may be in flight,
// and for whether compressing pays.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/shepherd/messages.h"

namespace drover {

// The ring between a worker and its rank, on both sides. Four MiB, so that each of the four processes on the way has
// work for a whole time slice when all share a busy CPU; how much of it is in flight is another matter.
inline constexpr shepherd::RingShape kImageRing{16, 256 * 1024};

class LinkSpeeds {
 public:
  explicit LinkSpeeds(std::vector<bool> same_host)
      : same_host_(std::move(same_host)), bytes_per_second_(same_host_.size()) {}

  // From the middle of an image, when the link was full. Load on either side makes a link look slower than it is, so a
  // lower figure counts only by degrees.
  void add(int rank, double bytes_per_second);
  // From a whole image too small for that: it includes waiting for the program's pages.
  void add_lower_bound(int rank, double bytes_per_second);

  double get(int rank) const { return bytes_per_second_.at(static_cast<std::size_t>(rank)); }  // 0: not known
  // Chunks in flight: 8 ms of bandwidth, between 1 and 4 MiB, since bulk and control share the link.
  std::size_t window(int rank) const;
  bool compression_pays(int rank) const;

 private:
  std::vector<bool> same_host_;
  std::vector<double> bytes_per_second_;
};

// Measures one image on its way.
class TransferMeter {
 public:
  void sent(std::uint64_t bytes, std::uint64_t now_ns);
  void report(LinkSpeeds& speeds, int rank) const;

 private:
  std::uint64_t begun_ns_ = 0, last_ns_ = 0, bytes_ = 0;
  std::uint64_t segment_ns_ = 0, segment_bytes_ = 0;
  double best_ = 0;  // of the segments
};

}  // namespace drover
