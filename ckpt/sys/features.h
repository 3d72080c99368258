// What the running kernel can do for checkpoint and restart: probed once, one record, by trying rather than by version.
#pragma once

#include <string>
#include <vector>

namespace drover {

struct KernelFeatures {
  std::string release;              // uname -r
  bool pagemap_scan = false;        // PAGEMAP_SCAN, Linux 6.7
  bool guard_scan = false;          // PAGEMAP_SCAN tells guard pages, Linux 6.16
  bool soft_dirty = false;          // CONFIG_MEM_SOFT_DIRTY
  bool populate_write = false;      // MADV_POPULATE_WRITE, Linux 5.14
  bool userfaultfd = false;         // for faults in user mode only, Linux 5.11, CONFIG_USERFAULTFD
  bool kcmp = false;                // CONFIG_KCMP
  bool time_namespaces = false;     // Linux 5.6
  bool timer_restore_ids = false;   // PR_TIMER_CREATE_RESTORE_IDS, Linux 6.15
  bool rseq_configuration = false;  // PTRACE_GET_RSEQ_CONFIGURATION, Linux 5.13
  bool tid_address = false;         // PR_GET_TID_ADDRESS, CONFIG_CHECKPOINT_RESTORE
  bool proc_children = false;       // /proc/PID/task/TID/children
  bool sched_debug = false;         // /proc/PID/sched tells when a task last ran
  bool eventfd_semaphore = false;   // fdinfo of an eventfd tells whether it is a semaphore, Linux 6.5
  bool protection_keys = false;     // pkeys(7): the processor has them, and the kernel uses them
};

const KernelFeatures& kernel_features();

// May this process look at seccomp filters of others and set them aside? (ptrace(2), PTRACE_O_SUSPEND_SECCOMP:
// CAP_SYS_ADMIN in the initial user namespace, no filter of its own, CONFIG_CHECKPOINT_RESTORE)
bool may_suspend_seccomp();

}  // namespace drover
