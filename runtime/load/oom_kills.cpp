#include "runtime/load/oom_kills.h"

#include "runtime/load/host_files.h"

namespace drover {

std::optional<std::uint64_t> OomKills::read() const {
  const auto counters = parse_vmstat(proc_.read("vmstat"));
  return counters ? std::optional(counters->oom_kills) : std::nullopt;
}

void OomKills::sample() {
  const auto now = read();
  before_ = last_ ? last_ : now;
  last_ = now;
}

bool OomKills::have_risen() const {
  const auto now = read();
  return now && before_ && *now > *before_;
}

}  // namespace drover
