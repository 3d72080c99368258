#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/dump/obstacles.h"

namespace drover {

// The kernel orders the objects of all processes somehow (kcmp(2)): sorted by that, equal ones are neighbours.
std::optional<Refusal> find_sharing_obstacle(std::span<const pid_t> processes) {
  static constexpr std::pair<int, const char*> kKinds[] = {{KCMP_VM, "memory"},
                                                           {KCMP_FILES, "descriptors"},
                                                           {KCMP_FS, "working directory"},
                                                           {KCMP_SIGHAND, "signal handlers"}};
  for (const auto& [kind, name] : kKinds) {
    std::vector<pid_t> sorted(processes.begin(), processes.end());
    std::sort(sorted.begin(), sorted.end(),
              [kind = kind](pid_t a, pid_t b) { return ::syscall(SYS_kcmp, a, b, kind, 0, 0) == 1; });
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      if (::syscall(SYS_kcmp, sorted[i - 1], sorted[i], kind, 0, 0) == 0)
        return Refusal{fmt::format("process {} shares its {} with process {}", sorted[i - 1], name, sorted[i])};
    }
  }
  return std::nullopt;
}

}  // namespace drover
