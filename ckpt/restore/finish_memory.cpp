// What mm_struct knows besides areas, and the areas' final protections and advice.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "ckpt/image/pages.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/restore/protection_keys.h"
#include "ckpt/sys/uapi.h"

namespace drover {

static constexpr std::size_t kEntryRoom = 2048, kKeysRoom = 16 * 1024;

static void protect_and_advise(HeldProcess& held, Batch& batch, const AreaState& area, bool closed) {
  static constexpr std::pair<AreaFlag, int> kAdvice[] = {
      {kAreaSequential, MADV_SEQUENTIAL}, {kAreaRandom, MADV_RANDOM},         {kAreaDontFork, MADV_DONTFORK},
      {kAreaDontDump, MADV_DONTDUMP},     {kAreaWipeOnFork, MADV_WIPEONFORK}, {kAreaMergeable, MADV_MERGEABLE}};
  held.make_room(batch, kEntryRoom);
  const bool writable_so_far = area.kind != AreaKind::FileShared && area.kind != AreaKind::NamelessShared;
  const bool readable_so_far = writable_so_far || area.prot == PROT_EXEC;
  const bool too_open =
      (readable_so_far && (area.prot & PROT_READ) == 0) || (writable_so_far && (area.prot & PROT_WRITE) == 0);
  if (area.kind == AreaKind::SystemV || area.key != 0 || (too_open && !closed)) protect(batch, area);
  for (const auto& [flag, advice] : kAdvice) {
    if (area.flags & flag)
      batch.must(fmt::format("madvise {:#x}", area.start), SYS_madvise, area.start, area.bytes(), advice);
  }
  if (area.flags & kAreaLocked) batch.must("mlock", SYS_mlock, area.start, area.bytes());
}

// One call sets all fields and the program's file (Linux >= 3.18). exe_fd needs CAP_SYS_RESOURCE, or since 5.9
// CAP_CHECKPOINT_RESTORE, in the process's own user namespace only.
static void set_mm_fields(HeldProcess& held) {
  const MemoryState& m = held.image.memory;
  Batch batch = held.batch();
  const bool deleted = m.executable_object >= 0;
  if (!deleted) {
    const std::string& program = m.files[m.executable].path;
    batch.must("open " + program, SYS_openat, AT_FDCWD, batch.push_string(program), O_RDONLY | O_CLOEXEC, 0);
  }
  prctl_mm_map map{};
  map.start_code = m.start_code, map.end_code = m.end_code, map.start_data = m.start_data, map.end_data = m.end_data;
  map.start_brk = m.start_brk, map.brk = m.brk, map.start_stack = m.start_stack;
  map.arg_start = m.arg_start, map.arg_end = m.arg_end, map.env_start = m.env_start, map.env_end = m.env_end;
  map.auxv = reinterpret_cast<__u64*>(batch.push(m.auxv));
  map.auxv_size = static_cast<__u32>(m.auxv.size());
  // What has just been opened has the lowest free number.
  map.exe_fd = deleted ? static_cast<__u32>(held.objects_fd + m.executable_object) : 0;
  batch.must("PR_SET_MM_MAP", SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, batch.push_value(map), sizeof map, 0);
  if (!deleted) batch.must("close", SYS_close, 0);
  held.run(batch);
}

static void set_names_and_guards(HeldProcess& held, Batch& batch) {
  for (const AreaName& area : held.image.memory.names) {
    held.make_room(batch, kEntryRoom);
    batch.may(SYS_prctl, uapi::kSetVma, 0, area.start, area.end - area.start, batch.push_string(area.name));
  }
  for (const GuardPages& guard : held.image.memory.guards) {
    held.make_room(batch, kEntryRoom);
    batch.must(fmt::format("MADV_GUARD_INSTALL {:#x}", guard.address), SYS_madvise, guard.address,
               guard.pages * kPageBytes, uapi::kMadvGuardInstall);
  }
}

void finish_memory(HeldProcess& held) {
  set_mm_fields(held);
  Batch batch = held.batch();
  set_names_and_guards(held, batch);  // guards before mlock, which would refuse them
  const bool keys = uses_keys(held.image.memory);
  held.make_room(batch, kKeysRoom);
  if (keys) take_all_keys(batch);
  const auto& areas = held.image.memory.areas;
  for (std::size_t i = 0; i < areas.size(); ++i) {
    if (areas[i].kind != AreaKind::Vdso) protect_and_advise(held, batch, areas[i], held.closed_areas[i]);
  }
  held.make_room(batch, kKeysRoom);
  if (keys) leave_keys(batch, held.image.memory.keys);
  held.run(batch);
}

}  // namespace drover
