#include "ckpt/sys/features.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/userfaultfd.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

#include "ckpt/sys/protection_keys.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static bool probe_pagemap_scan(std::uint64_t category) {
  const UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  uapi::PageRegion region{};
  uapi::PagemapScan scan{};
  scan.size = sizeof scan;
  scan.vec = reinterpret_cast<std::uintptr_t>(&region);
  scan.vec_len = 1;
  scan.start = scan.end = 0x1000;
  scan.category_mask = category;
  return pagemap && ::ioctl(pagemap.get(), uapi::kPagemapScan, &scan) >= 0;
}

// A fresh page that was just written has bit 55 set exactly where the kernel tracks soft-dirty pages.
static bool probe_soft_dirty(char* page) {
  *page = 1;
  const UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  std::uint64_t entry = 0;
  const auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(page) / 4096 * 8);
  return pagemap && ::pread(pagemap.get(), &entry, 8, at) == 8 && (entry >> 55 & 1) != 0;
}

static bool probe_eventfd_semaphore() {
  const UniqueFd fd(::eventfd(0, EFD_CLOEXEC));
  const auto text = try_read_text(proc_path(::getpid(), "fdinfo/" + std::to_string(fd.get())));
  return text && text->find("eventfd-semaphore:") != std::string::npos;
}

static KernelFeatures probe() {
  KernelFeatures f;
  utsname name{};
  if (::uname(&name) == 0) f.release = name.release;
  f.pagemap_scan = probe_pagemap_scan(0);
  f.guard_scan = probe_pagemap_scan(uapi::kPageIsGuard);
  if (void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      page != MAP_FAILED) {
    f.populate_write = ::madvise(page, 4096, uapi::kMadvPopulateWrite) == 0;
    f.soft_dirty = probe_soft_dirty(static_cast<char*>(page));
    ::munmap(page, 4096);
  }
  f.userfaultfd =
      static_cast<bool>(UniqueFd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY))));
  f.kcmp = ::syscall(SYS_kcmp, ::getpid(), ::getpid(), KCMP_VM, 0, 0) == 0;
  f.time_namespaces = ::access("/proc/self/timens_offsets", F_OK) == 0;
  // Argument 2 asks for the present setting and changes nothing.
  f.timer_restore_ids = ::prctl(uapi::kTimerCreateRestoreIds, 2, 0, 0, 0) >= 0;
  // On a task that is not traced a known request fails with ESRCH, an unknown one with EIO... or ESRCH as well: go by
  // the version that brought it, which no distribution has taken back.
  f.rseq_configuration = f.populate_write;  // both are newer than 5.13/5.14; see uapi.h
  int* address = nullptr;
  f.tid_address = ::prctl(uapi::kGetTidAddress, &address, 0, 0, 0) == 0;
  f.proc_children =
      ::access("/proc/self/task/self/children", F_OK) == 0 ||
      ::access(proc_path(::getpid(), "task/" + std::to_string(::getpid()) + "/children").c_str(), F_OK) == 0;
  f.sched_debug = try_read_text("/proc/self/sched").value_or("").find("se.exec_start") != std::string::npos;
  f.eventfd_semaphore = probe_eventfd_semaphore();
  f.protection_keys = is_key_allocated(::syscall(SYS_pkey_mprotect, kNowhere, 4096, PROT_NONE, 0) == 0 ? 0 : -errno);
  return f;
}

bool may_suspend_seccomp() {
  constexpr unsigned kSysAdmin = 21;
  const TaskStatus own = parse_task_status(read_text("/proc/self/status"));
  const std::string map = try_read_text("/proc/self/uid_map").value_or("");
  std::string_view rest = map;
  const bool initial =
      next_word(rest) == "0" && next_word(rest) == "0" && next_word(rest).substr(0, 10) == "4294967295";
  return initial && own.seccomp == 0 && (own.cap_effective >> kSysAdmin & 1) != 0;
}

const KernelFeatures& kernel_features() {
  static const KernelFeatures features = probe();
  return features;
}

}  // namespace drover
