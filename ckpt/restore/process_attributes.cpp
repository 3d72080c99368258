// What belongs to the process as a whole and can be set before its threads exist.
#include <fmt/format.h>
#include <linux/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/text.h"

namespace drover {

static void set_oom_score(const HeldProcess& held) {
  const std::string path = proc_path(held.pid, "oom_score_adj");
  const std::string wanted = fmt::format("{}\n", held.image.process.oom_score_adj);
  if (try_read_text(path) != wanted) write_text(path, wanted);
}

static void set_limits(const HeldProcess& held, Batch& batch) {
  for (std::size_t i = 0; i < held.image.process.limits.size(); ++i) {
    const LimitState& limit = held.image.process.limits[i];
    rlimit own{};
    ::getrlimit(static_cast<__rlimit_resource_t>(i), &own);
    const bool host_derived = i == RLIMIT_NPROC || i == RLIMIT_SIGPENDING;
    const rlim_t hard = host_derived ? std::min<rlim_t>(limit.hard, own.rlim_max) : limit.hard;
    const rlimit wanted{std::min<rlim_t>(limit.soft, hard), hard};
    batch.must(fmt::format("set resource limit {}", i), SYS_prlimit64, 0, i, batch.push_value(wanted), 0);
  }
}

static void set_directories(const ProcessState& process, Batch& batch) {
  // Both paths are as we see them, and a process may work outside of its root. One that is gone has been entered
  // already.
  if (process.cwd_object < 0) batch.must("chdir " + process.cwd, SYS_chdir, batch.push_string(process.cwd));
  if (process.root != "/") batch.must("chroot " + process.root, SYS_chroot, batch.push_string(process.root));
  batch.may(SYS_umask, process.umask);
}

void set_process_attributes(HeldProcess& held) {
  const ProcessState& process = held.image.process;
  set_oom_score(held);
  Batch batch = held.batch();
  if (held.shared().directories == 0) set_directories(process, batch);
  batch.may(SYS_personality, process.personality);
  batch.may(SYS_prctl, PR_SET_THP_DISABLE, process.thp_disabled ? 1 : 0, 0, 0, 0);
  set_limits(held, batch);
  held.run(batch);
}

}  // namespace drover
