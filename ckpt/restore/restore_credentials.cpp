// The credentials that every thread had, taken on last: from here on the process can do no more than the program could.
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/syscall.h>

#include "ckpt/restore/held_process.h"
#include "ckpt/sys/task_status.h"
#include "ckpt/sys/text.h"

namespace drover {

static std::vector<gid_t> beside(std::vector<gid_t> groups, gid_t main_group) {
  std::erase(groups, main_group);
  return groups;
}

static void change_ids(Batch& batch, const CredentialsState& wanted, const TaskStatus& now) {
  if (wanted.groups != now.groups) {
    const auto groups = batch.push(std::as_bytes(std::span(wanted.groups)));
    // An ordinary user's namespace denies setgroups. Some logins list the main group among the others and some do not
    // (initgroups(3) does): that is no difference in what the process may do, and no reason to fail.
    if (beside(wanted.groups, wanted.gid[1]) == beside(now.groups, wanted.gid[1]))
      batch.may(SYS_setgroups, wanted.groups.size(), groups);
    else
      batch.must("setgroups", SYS_setgroups, wanted.groups.size(), groups);
  }
  const bool same = wanted.uid == now.uid && wanted.gid == now.gid;
  if (same) return;
  // Without this, leaving user id 0 would drop the capabilities that the rest needs (capabilities(7)).
  batch.must("PR_SET_SECUREBITS", SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS, 0, 0, 0);
  batch.must("setresgid", SYS_setresgid, wanted.gid[0], wanted.gid[1], wanted.gid[2]);
  batch.may(SYS_setfsgid, wanted.gid[3]);
  batch.must("setresuid", SYS_setresuid, wanted.uid[0], wanted.uid[1], wanted.uid[2]);
  batch.may(SYS_setfsuid, wanted.uid[3]);
}

static void change_capabilities(Batch& batch, const CredentialsState& wanted, const TaskStatus& now) {
  for (int capability = 0; capability < 64; ++capability) {
    const std::uint64_t bit = std::uint64_t{1} << capability;
    if ((now.cap_bounding & bit) != 0 && (wanted.cap_bounding & bit) == 0)
      batch.must("PR_CAPBSET_DROP", SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  batch.must("PR_CAP_AMBIENT", SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // Needs CAP_SETPCAP, so only when there is something to change, and before that is gone.
  if (wanted.securebits != 0 || wanted.uid != now.uid)
    batch.must("PR_SET_SECUREBITS", SYS_prctl, PR_SET_SECUREBITS, wanted.securebits, 0, 0, 0);
  const __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (unsigned half = 0; half < 2; ++half) {
    data[half].effective = static_cast<__u32>(wanted.cap_effective >> (32 * half));
    data[half].permitted = static_cast<__u32>(wanted.cap_permitted >> (32 * half));
    data[half].inheritable = static_cast<__u32>(wanted.cap_inheritable >> (32 * half));
  }
  batch.must("capset", SYS_capset, batch.push_value(header), batch.push(std::as_bytes(std::span(data))));
  for (int capability = 0; capability < 64; ++capability) {
    if ((wanted.cap_ambient >> capability & 1) != 0)
      batch.must("PR_CAP_AMBIENT", SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
  }
}

// The oldest first, while we may; they don't apply to what we run (PTRACE_O_SUSPEND_SECCOMP).
static void install_filters(HeldProcess& held, std::size_t index) {
  for (const SeccompFilter& filter : held.image.threads[index].seccomp) {
    Batch batch = held.batch();  // the room of the leader: a program of 4096 instructions has 32 KiB
    const struct { std::uint64_t count, program; } whole{filter.program.size() / 8, batch.push(filter.program)};
    batch.must("seccomp", SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, batch.push_value(whole));
    held.threads[index]->run(held.area, batch);
  }
}

void add_credentials(Batch& batch, const ThreadState& thread, const TaskStatus& now, const ProcessState& process) {
  change_ids(batch, thread.credentials, now);
  change_capabilities(batch, thread.credentials, now);
  if (thread.credentials.no_new_privs) batch.must("PR_SET_NO_NEW_PRIVS", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // A change of credentials clears both of these (commit_creds()).
  batch.must("PR_SET_DUMPABLE", SYS_prctl, PR_SET_DUMPABLE, process.dumpable, 0, 0, 0);
  if (thread.parent_death_signal != 0)
    batch.must("PR_SET_PDEATHSIG", SYS_prctl, PR_SET_PDEATHSIG, thread.parent_death_signal, 0, 0, 0);
}

void restore_credentials(HeldProcess& held) {
  // All these threads are copies of the leader so far.
  const TaskStatus now = parse_task_status(read_text(proc_path(held.pid, "status")));
  for (std::size_t i = 0; i < held.threads.size(); ++i) {
    if (takes_credentials_late(held, i)) install_filters(held, i);
  }
  for (std::size_t i = 0; i < held.threads.size(); ++i) {
    if (!takes_credentials_late(held, i)) continue;
    Batch batch = held.batch();  // the room of the leader
    add_credentials(batch, held.image.threads[i], now, held.image.process);
    held.threads[i]->run(held.area, batch);
  }
}

}  // namespace drover
