// Which memory protection keys a process has allocated. Areas show theirs in smaps, and PKRU is a part of a thread's
// state; nothing shows the allocation.
#include "ckpt/sys/protection_keys.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "ckpt/dump/collect.h"
#include "ckpt/sys/features.h"

namespace drover {

// What we put into a process has key 0, as its vdso has, and its threads work there with rights of their own.
std::optional<Refusal> find_key_obstacle(const FrozenProcess& process) {
  if (!kernel_features().protection_keys) return std::nullopt;
  for (const FrozenThread& thread : process.threads) {
    if (key_rights(pkru_of(Tracee(thread.tid).xstate()), 0) != 0)
      return Refusal{fmt::format("thread {} denies itself memory without a protection key", thread.tid)};
  }
  return std::nullopt;
}

static std::uint16_t find_allocated(InjectedArea& injected) {
  Batch batch = injected.area().main_batch();
  for (unsigned key = 0; key < kProtectionKeys; ++key)
    batch.may(SYS_pkey_mprotect, kNowhere, kPageBytes, PROT_NONE, key);
  injected.leader().run(injected.area(), batch);
  std::uint16_t allocated = 0;
  for (unsigned key = 0; key < kProtectionKeys; ++key) {
    if (is_key_allocated(batch.result(key))) allocated = static_cast<std::uint16_t>(allocated | 1 << key);
  }
  return allocated;
}

// Seems to be the one for areas that can only be executed.
static bool is_execute_only(unsigned key, const MemoryState& memory) {
  return std::any_of(memory.areas.begin(), memory.areas.end(),
                     [key](const AreaState& area) { return area.key == key && area.prot == PROT_EXEC; });
}

// The key for areas with PROT_EXEC alone is neither free nor to be had: it is the one that is missing when all free
// ones are allocated, and freed again in the same batch, which runs to its end even if we are killed. pkey_alloc(2)
// gives the lowest first, and sets the thread's rights: to what they are.
static std::int32_t find_execute_only(InjectedArea& injected, const MemoryState& memory, std::uint32_t pkru) {
  const auto is_candidate = [&](unsigned key) { return (memory.keys.allocated >> key & 1) == 0; };
  Batch batch = injected.area().main_batch();
  std::vector<std::size_t> allocations;
  for (const bool last : {false, true}) {
    for (unsigned key = 0; key < kProtectionKeys; ++key) {
      if (is_candidate(key) && is_execute_only(key, memory) == last)
        allocations.push_back(batch.may(SYS_pkey_alloc, 0, key_rights(pkru, key)));
    }
  }
  for (unsigned key = 0; key < kProtectionKeys; ++key) {
    if (is_candidate(key)) batch.may(SYS_pkey_free, key);
  }
  injected.leader().run(injected.area(), batch);
  std::uint32_t got = memory.keys.allocated;
  for (const std::size_t call : allocations) {
    if (batch.result(call) >= 0) got |= 1U << batch.result(call);
  }
  for (unsigned key = 1; key < kProtectionKeys; ++key) {
    if ((got >> key & 1) == 0) return static_cast<std::int32_t>(key);
  }
  return -1;
}

void collect_protection_keys(const FrozenProcess& process, InjectedArea& injected, MemoryState& memory) {
  if (!kernel_features().protection_keys) return;
  const Tracee leader(process.threads.front().tid);
  const std::vector<std::byte> xstate = leader.xstate();
  const std::uint32_t pkru = pkru_of(xstate);
  memory.keys.allocated = find_allocated(injected);
  memory.keys.execute_only = find_execute_only(injected, memory, pkru);
  // A free key in front of the missing one has got the rights of another.
  std::vector<std::byte> now = leader.xstate();
  if (pkru_of(now) == pkru) return;
  now.resize(leader.xstate_bytes());
  set_pkru(now, pkru);
  leader.set_xstate(now);
}

}  // namespace drover
