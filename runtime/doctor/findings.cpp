#include "runtime/doctor/findings.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace drover {

const char* condition_name(Condition condition) {
  switch (condition) {
    case Condition::Ok:
      return "ok";
    case Condition::Limited:
      return "limited";
    case Condition::Missing:
      return "missing";
  }
  return "?";
}

namespace {

Finding namespaces(const HostFacts& facts) {
  if (facts.no_namespaces.empty()) return {"namespaces", Condition::Ok, "jobs get their own, so they can be moved"};
  return {"namespaces", Condition::Missing,
          fmt::format("jobs run here but can't be moved ({}); an administrator can allow user namespaces: sysctl "
                      "user.max_user_namespaces, kernel.unprivileged_userns_clone, "
                      "kernel.apparmor_restrict_unprivileged_userns",
                      facts.no_namespaces)};
}

// Documentation/admin-guide/LSM/Yama.rst. A shepherd's worker has CAP_SYS_PTRACE in its job's user namespace, which 1
// and 2 ask for.
Finding tracing(const HostFacts& facts) {
  const std::string setting = fmt::format("kernel.yama.ptrace_scope is {}", facts.ptrace_scope);
  if (facts.ptrace_scope >= 3)
    return {"ptrace", Condition::Missing, setting + ": no job can be moved; ask for 0 or 1 (it takes a reboot)"};
  if (facts.ptrace_scope >= 1 && !facts.root)
    return {"ptrace", Condition::Limited,
            setting + ": jobs can be moved, drover-ckpt can dump only what it may trace (as root: all)"};
  return {"ptrace", Condition::Ok, facts.ptrace_scope < 0 ? "not restricted" : setting};
}

Finding pages(const KernelFeatures& kernel) {
  if (kernel.pagemap_scan) return {"page scans", Condition::Ok, "PAGEMAP_SCAN"};
  return {"page scans", Condition::Limited,
          std::string("no PAGEMAP_SCAN (Linux 6.7): finding a large program's pages takes longer") +
              (kernel.soft_dirty ? "; soft-dirty bits are there" : "")};
}

Finding clocks(const KernelFeatures& kernel) {
  if (kernel.time_namespaces) return {"time namespaces", Condition::Ok, "clocks of moved programs go on"};
  return {"time namespaces", Condition::Limited,
          "none (Linux 5.6, CONFIG_TIME_NS): CLOCK_MONOTONIC and CLOCK_BOOTTIME of a moved program jump"};
}

Finding waits(const KernelFeatures& kernel) {
  if (kernel.sched_debug) return {"interrupted sleeps", Condition::Ok, "how long a thread has slept can be read"};
  return {"interrupted sleeps", Condition::Limited,
          "no /proc/PID/sched (CONFIG_SCHED_DEBUG): some sleeps and polls of a moved program begin again"};
}

Finding filters(const HostFacts& facts) {
  if (facts.may_suspend_seccomp) return {"seccomp filters", Condition::Ok, "programs that have some can be moved"};
  return {"seccomp filters", Condition::Limited, "programs that have some can't be moved; that takes CAP_SYS_ADMIN"};
}

Finding limit(const char* check, const char* option, std::uint64_t value, std::uint64_t enough, const char* cost) {
  if (value == std::numeric_limits<std::uint64_t>::max()) return {check, Condition::Ok, "unlimited"};
  if (value >= enough) return {check, Condition::Ok, fmt::format("{}", value)};
  return {check, Condition::Limited,
          fmt::format("{} only: {}; raise it (ulimit {}) before drover up", value, cost, option)};
}

std::string size_text(std::uint64_t kib) {
  return kib >= 10 << 20 ? fmt::format("{} GiB", kib >> 20) : fmt::format("{} MiB", kib >> 10);
}

Finding state_directory(const HostFacts& facts) {
  constexpr std::uint64_t kEnoughKib = 1 << 20;
  const std::string where =
      fmt::format("{} ({}, {} free)", facts.state_dir, facts.state_file_system, size_text(facts.state_free_kib));
  if (!facts.state_error.empty())
    return {
        "state directory", Condition::Missing,
        fmt::format("{}: {}; jobs can't be moved or placed without it. Set DROVER_STATE_DIR to a directory that all "
                    "nodes share and that has hard links",
                    facts.state_dir, facts.state_error)};
  if (facts.state_free_kib < kEnoughKib)
    return {"state directory", Condition::Limited, where + ": the output of submitted jobs may not fit"};
  return {"state directory", Condition::Ok, where};
}

Finding shared_memory(const HostFacts& facts) {
  constexpr std::uint64_t kEnoughKib = 256 << 10;
  const std::string text = size_text(facts.shm_free_kib) + " free in /dev/shm";
  if (facts.shm_free_kib >= kEnoughKib) return {"shared memory", Condition::Ok, text};
  return {"shared memory", Condition::Limited, text + ": Open MPI and moves between ranks of a host may fail"};
}

}  // namespace

std::vector<Finding> judge(const HostFacts& facts) {
  return {{"kernel", Condition::Ok, "Linux " + facts.kernel.release},
          namespaces(facts),
          tracing(facts),
          pages(facts.kernel),
          clocks(facts.kernel),
          waits(facts.kernel),
          filters(facts),
          limit("open files", "-n", facts.open_files, 1024, "droverd holds some for every job and launcher"),
          limit("processes", "-u", facts.processes, 512, "jobs count against it, and their shepherds"),
          state_directory(facts),
          shared_memory(facts)};
}

Finding judge_clock(double skew_ms, double error_ms) {
  constexpr double kTolerableMs = 100;
  const std::string text = fmt::format("{:+.1f} ms (to within {:.1f} ms)", skew_ms, error_ms);
  if (std::abs(skew_ms) <= kTolerableMs + error_ms) return {"clock", Condition::Ok, text};
  return {"clock", Condition::Limited,
          text + ": times of events and files of different nodes don't compare; run an NTP service"};
}

nlohmann::json finding_to_json(const Finding& finding) {
  return {{"check", finding.check}, {"status", condition_name(finding.condition)}, {"detail", finding.detail}};
}

}  // namespace drover
