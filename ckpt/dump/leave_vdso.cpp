// Threads stopped inside the vdso take the few steps out of it: where they go on there may be another one.
#include <sys/ptrace.h>

#include <algorithm>
#include <csignal>

#include "ckpt/dump/collect.h"
#include "ckpt/freeze/tracee.h"

namespace drover {

// Single steps are told by SIGTRAP, which the kernel would unblock, and handle instead of ignore, for that
// (force_sig_info_to_task()): all other signals are blocked meanwhile.
static void step_out(const FrozenProcess& process, FrozenThread& thread, const Mapping& vdso) {
  constexpr int kMostSteps = 4096;
  constexpr std::uint64_t kTrap = std::uint64_t{1} << (SIGTRAP - 1);
  const Tracee tracee(thread.tid);
  if ((status_of(process, thread).ignored & kTrap) != 0) return;
  const std::uint64_t mask = tracee.signal_mask();
  tracee.set_signal_mask(~kTrap);
  for (int step = 0; step < kMostSteps; ++step) {
    tracee.resume(PTRACE_SINGLESTEP);
    if (tracee.wait().signal() != SIGTRAP) break;
    thread.registers = tracee.registers();
    if (thread.registers.rip - vdso.start >= vdso.bytes()) break;
  }
  tracee.set_signal_mask(mask);
}

void leave_vdso(FrozenProcess& process, const std::vector<Mapping>& mappings) {
  const auto vdso = std::find_if(mappings.begin(), mappings.end(), [](const Mapping& m) { return m.path == "[vdso]"; });
  if (vdso == mappings.end()) return;
  for (FrozenThread& thread : process.threads) {
    const bool inside = thread.registers.rip - vdso->start < vdso->bytes();
    const bool in_call = static_cast<std::int64_t>(thread.registers.orig_rax) >= 0;
    if (inside && !in_call && !thread.wait && process.stopped_by == 0) step_out(process, thread, *vdso);
  }
}

}  // namespace drover
