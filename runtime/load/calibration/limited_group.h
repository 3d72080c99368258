// A memory cgroup with a limit, made below this process's own, or for v2 below one above it, for programs that are to
// page, and removed at the end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/load/proc_dir.h"

namespace drover {

class LimitedGroup {
 public:
  // Null, and `reason` says why, where this user can't make one.
  static std::unique_ptr<LimitedGroup> make(std::uint64_t limit_bytes, std::string& reason,
                                            const ProcDir& proc = ProcDir("/proc"));
  ~LimitedGroup();  // after the programs in it have ended
  LimitedGroup(const LimitedGroup&) = delete;
  LimitedGroup& operator=(const LimitedGroup&) = delete;

  // Moves the calling process into it; false if that is not permitted. In a load program, as its first act.
  bool enter() const;
  std::uint64_t limit_bytes() const { return limit_bytes_; }

 private:
  static std::unique_ptr<LimitedGroup> make_below(const std::string& above, bool v2, std::uint64_t limit_bytes,
                                                  std::string& reason);
  LimitedGroup(std::string path, std::uint64_t limit_bytes) : path_(std::move(path)), limit_bytes_(limit_bytes) {}
  std::string path_;
  std::uint64_t limit_bytes_;
};

}  // namespace drover
