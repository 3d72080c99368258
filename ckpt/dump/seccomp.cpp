// Filters of system calls. They would forbid ours, too, and only root of the host may look at them and set them aside
// (ptrace(2), PTRACE_SECCOMP_GET_FILTER and PTRACE_O_SUSPEND_SECCOMP: CAP_SYS_ADMIN in the initial user namespace).
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ptrace.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"

namespace drover {

static long ask(int request, pid_t tid, std::uint64_t index, void* answer) {
  return ::ptrace(static_cast<__ptrace_request>(request), tid, index, answer);
}

// Whose answer comes from a process beside it: that one would still hold the filter that is gone.
static bool asks_supervisor(std::span<const sock_filter> program) {
  for (const sock_filter& one : program) {
    if (BPF_CLASS(one.code) == BPF_RET && (one.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF) return true;
  }
  return false;
}

// The oldest first (get_nth_filter()).
static std::optional<Refusal> read_filters(pid_t tid, std::vector<SeccompFilter>& filters) {
  for (std::uint64_t index = 0;; ++index) {
    const long count = ask(PTRACE_SECCOMP_GET_FILTER, tid, index, nullptr);
    if (count < 0 && errno == ENOENT) return std::nullopt;
    if (count < 0) return Refusal{fmt::format("thread {} has a seccomp filter that can't be read", tid)};
    std::vector<sock_filter> program(static_cast<std::size_t>(count));
    struct {
      std::uint64_t index, flags;
    } metadata{index, 0};
    if (ask(PTRACE_SECCOMP_GET_FILTER, tid, index, program.data()) != count ||
        ask(PTRACE_SECCOMP_GET_METADATA, tid, sizeof metadata, &metadata) < 0)
      throw SystemError("PTRACE_SECCOMP_GET_FILTER", std::to_string(tid), errno);
    if (asks_supervisor(program))
      return Refusal{fmt::format("thread {} has a seccomp filter that asks a supervisor", tid)};
    SeccompFilter& filter = filters.emplace_back();
    filter.flags = static_cast<std::uint32_t>(metadata.flags);
    const auto bytes = std::as_bytes(std::span(program));
    filter.program.assign(bytes.begin(), bytes.end());
  }
}

std::optional<Refusal> collect_seccomp(const FrozenProcess& process, FilterMap& filters) {
  for (const FrozenThread& thread : process.threads) {
    if (status_of(process, thread).seccomp == 0) continue;
    if (status_of(process, thread).seccomp == 1)
      return Refusal{fmt::format("thread {} is in seccomp's strict mode", thread.tid)};
    try {
      Tracee(thread.tid).set_options(kFreezeOptions | PTRACE_O_SUSPEND_SECCOMP);
    } catch (const SystemError&) {
      return Refusal{fmt::format("thread {} has a seccomp filter", thread.tid)};
    }
    if (auto refusal = read_filters(thread.tid, filters[thread.tid])) return refusal;
  }
  return std::nullopt;
}

}  // namespace drover
