#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/tasks.h"

namespace drover {

static long compare(pid_t a, pid_t b, int kind) { return ::syscall(SYS_kcmp, task_of(a), task_of(b), kind, 0, 0); }

// The kernel orders the objects of all processes somehow (kcmp(2)): sorted by that, equal ones are neighbours.
static void find_shared(std::span<const pid_t> processes, int kind, std::int32_t SharedState::*what,
                        std::vector<SharedState>& shared) {
  std::vector<std::size_t> sorted(processes.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::sort(sorted.begin(), sorted.end(),
            [&](std::size_t a, std::size_t b) { return compare(processes[a], processes[b], kind) == 1; });
  for (std::size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
    while (end < sorted.size() && compare(processes[sorted[begin]], processes[sorted[end]], kind) == 0) ++end;
    end = std::max(end, begin + 1);
    const std::size_t first = *std::min_element(sorted.begin() + static_cast<std::ptrdiff_t>(begin),
                                                sorted.begin() + static_cast<std::ptrdiff_t>(end));
    for (std::size_t i = begin; i < end; ++i) {
      if (sorted[i] != first) shared[sorted[i]].*what = processes[first];
    }
  }
}

std::vector<SharedState> find_sharing(std::span<const pid_t> processes) {
  std::vector<SharedState> shared(processes.size());
  find_shared(processes, KCMP_VM, &SharedState::memory, shared);
  find_shared(processes, KCMP_SIGHAND, &SharedState::handlers, shared);
  find_shared(processes, KCMP_FILES, &SharedState::files, shared);
  find_shared(processes, KCMP_FS, &SharedState::directories, shared);
  return shared;
}

std::optional<Refusal> find_thread_obstacle(const FrozenProcess& process) {
  static constexpr std::pair<int, const char*> kKinds[] = {{KCMP_FILES, "descriptors"},
                                                           {KCMP_FS, "a working directory"}};
  for (const FrozenThread& thread : process.threads) {
    for (const auto& [kind, name] : kKinds) {
      if (thread.tid != process.pid && compare(process.pid, thread.tid, kind) > 0)
        return Refusal{fmt::format("thread {} has {} of its own", thread.tid, name)};
    }
  }
  return std::nullopt;
}

bool shares_adjustments(pid_t a, pid_t b) { return compare(a, b, KCMP_SYSVSEM) == 0; }

}  // namespace drover
