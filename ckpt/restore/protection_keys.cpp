#include "ckpt/restore/protection_keys.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

#include "ckpt/sys/features.h"
#include "ckpt/sys/protection_keys.h"

namespace drover {

bool uses_keys(const MemoryState& memory) {
  return memory.keys != ProtectionKeys{} ||
         std::any_of(memory.areas.begin(), memory.areas.end(), [](const AreaState& area) { return area.key != 0; });
}

std::optional<Refusal> check_protection_keys(const ImageModel& model, bool (*available)()) {
  for (const ProcessImage& image : model.processes) {
    if (uses_keys(image.memory) && !available())
      return Refusal{
          fmt::format("process {} uses memory protection keys, which there are none of here", image.process.pid)};
  }
  return std::nullopt;
}

void take_all_keys(Batch& batch) {
  for (unsigned key = 1; key < kProtectionKeys; ++key) batch.must("pkey_alloc", SYS_pkey_alloc, 0, 0);
}

// mprotect(2) with PROT_EXEC alone would choose a key by itself (__arch_override_mprotect_pkey()), also for an area
// that comes from a machine without keys, and has been readable so far.
void protect(Batch& batch, const AreaState& area) {
  const bool chooses = area.prot == PROT_EXEC && kernel_features().protection_keys;
  const std::string what = fmt::format("mprotect {:#x}", area.start);
  if (area.key != 0 || chooses)
    batch.must(what, SYS_pkey_mprotect, area.start, area.bytes(), area.prot, area.key);
  else
    batch.must(what, SYS_mprotect, area.start, area.bytes(), area.prot);
}

// The kernel takes the lowest free key for areas with PROT_EXEC alone when it needs one for the first time: the right
// one, as long as no other is free. A page of the batch's own lets it, and is then an ordinary one again.
void leave_keys(Batch& batch, const ProtectionKeys& keys) {
  if (keys.execute_only > 0) {
    const std::uint64_t page = (batch.space(2 * kPageBytes) + kPageBytes - 1) / kPageBytes * kPageBytes;
    batch.must("pkey_free", SYS_pkey_free, keys.execute_only);
    batch.must("mprotect", SYS_mprotect, page, kPageBytes, PROT_EXEC);
    batch.must("mmap", SYS_mmap, page, kPageBytes, PROT_READ | PROT_WRITE | PROT_EXEC,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  }
  for (int key = 0; key < static_cast<int>(kProtectionKeys); ++key) {
    if ((keys.allocated >> key & 1) == 0 && key != keys.execute_only)
      batch.must(fmt::format("pkey_free {}", key), SYS_pkey_free, key);
  }
}

std::uint32_t open_all_keys(const Tracee& tracee) {
  if (pkru_offset() == 0) return 0;
  std::vector<std::byte> xstate = tracee.xstate();
  const std::uint32_t before = pkru_of(xstate);
  if (before == 0) return before;
  xstate.resize(tracee.xstate_bytes());
  set_pkru(xstate, 0);
  tracee.set_xstate(xstate);
  return before;
}

void check_pkru(const Tracee& tracee, std::uint32_t wanted) {
  if (pkru_offset() != 0 && pkru_of(tracee.xstate()) != wanted)
    throw SystemError("PTRACE_SETREGSET does not set PKRU (Linux 5.14 to 6.1.1)", fmt::format("tid {}", tracee.tid()),
                      EOPNOTSUPP);
}

}  // namespace drover
