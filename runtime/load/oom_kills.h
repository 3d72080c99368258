// Has the kernel just killed something for want of memory? It tells nobody but root of whom, but anybody how often: the
// counter oom_kill of /proc/vmstat (Linux >= 4.13), which counts limits of cgroups, too. A program that dies of SIGKILL
// at that moment is most likely the one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/load/proc_dir.h"

namespace drover {

class OomKills {
 public:
  explicit OomKills(std::string proc = "/proc") : proc_(std::move(proc)) {}
  // At each load sample.
  void sample();
  // Since the sample before the last.
  bool have_risen() const;

 private:
  std::optional<std::uint64_t> read() const;

  ProcDir proc_;
  std::optional<std::uint64_t> last_, before_;
};

}  // namespace drover
