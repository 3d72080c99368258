#include <unistd.h>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/cpu.h"
#include "ckpt/sys/features.h"

namespace drover {

HostState collect_host(const FrozenTree::Impl& tree, const MemoryState& memory) {
  const FrozenProcess& root = tree.processes.front();
  HostState host;
  host.kernel_release = kernel_features().release;
  host.boot_id = read_boot_id();
  const CpuFeatures& cpu = cpu_features();
  host.xcr0 = cpu.xcr0;
  host.xsave_bytes = cpu.xsave_bytes;
  host.instructions = cpu.instructions;
  for (unsigned i = 0; i < 63; ++i) host.xsave_offsets.push_back((cpu.xcr0 >> i & 1) != 0 ? xsave_offset(i) : 0);
  for (const AreaState& area : memory.areas) {
    // Of the vdso's areas only the code may be executed; the others are the kernel's data, different at every moment.
    if (area.kind != AreaKind::Vdso || (area.prot & 4) == 0) continue;
    host.vdso.resize(area.bytes());
    root.memory.read(area.start, host.vdso);
  }
  const TimeOffsets offsets = read_timens_offsets(root.pid);
  host.monotonic_ns = tree.frozen_at.monotonic_ns + offsets.monotonic_ns;
  host.boottime_ns = tree.frozen_at.boottime_ns + offsets.boottime_ns;
  host.host_boottime_ns = tree.frozen_at.boottime_ns;
  host.realtime_ns = tree.frozen_at.realtime_ns;
  return host;
}

}  // namespace drover
