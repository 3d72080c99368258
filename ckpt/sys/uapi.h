// Kernel interface constants that Debian 12's headers (Linux 6.1) do not have yet, with the version that brought each.
#pragma once

#include <linux/ioctl.h>

#include <cstdint>

namespace drover::uapi {

// PAGEMAP_SCAN, Linux 6.7, Documentation/admin-guide/mm/pagemap.rst.
struct PageRegion {
  std::uint64_t start, end, categories;
};
struct PagemapScan {
  std::uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  std::uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
inline constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScan);
inline constexpr std::uint64_t kPageIsFile = 1 << 2;  // page cache: a file's or shared memory's, not a private copy
inline constexpr std::uint64_t kPageIsPresent = 1 << 3;
inline constexpr std::uint64_t kPageIsSwapped = 1 << 4;
inline constexpr std::uint64_t kPageIsPfnZero = 1 << 5;  // maps the kernel's zero page
inline constexpr std::uint64_t kPageIsGuard = 1 << 8;    // MADV_GUARD_INSTALL, Linux 6.16

inline constexpr int kTimerCreateRestoreIds = 77;     // prctl, Linux 6.15
inline constexpr int kGetTidAddress = 40;             // prctl, Linux 3.5, CONFIG_CHECKPOINT_RESTORE
inline constexpr int kGetRseqConfiguration = 0x420f;  // ptrace, Linux 5.13
inline constexpr int kArchMapVdso64 = 0x2003;         // arch_prctl, Linux 4.8, CONFIG_CHECKPOINT_RESTORE
inline constexpr int kMadvPopulateWrite = 23;         // Linux 5.14
inline constexpr int kMadvGuardInstall = 102;         // Linux 6.13; in areas of files 6.15
inline constexpr int kSetVma = 0x53564d41;            // prctl, Linux 5.17, CONFIG_ANON_VMA_NAME
inline constexpr unsigned kMemfdExec = 0x10;          // memfd_create, Linux 6.3

struct RseqConfiguration {
  std::uint64_t address;
  std::uint32_t size, signature, flags, pad;
};

inline constexpr std::uint64_t kSchedResetOnFork = 1;  // SCHED_FLAG_RESET_ON_FORK
// struct sched_attr: linux/sched/types.h can't be included together with glibc's sched.h.
struct SchedAttributes {
  std::uint32_t size, policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
  std::uint32_t util_min, util_max;
};

}  // namespace drover::uapi
