// All areas at their addresses. What the program could not write to is opened when contents come for it
// (fill_pages.cpp): most have none, and memory that was never writable is not charged to the system's commit limit.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <algorithm>
#include <map>

#include "ckpt/restore/held_process.h"
#include "ckpt/restore/huge_pages.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/uapi.h"

namespace drover {

static constexpr std::size_t kEntryRoom = 1024;

// Opens every file that is mapped; the descriptors are 0, 1, 2, ... since nothing else is open below the parked ones.
static std::map<std::uint32_t, int> open_mapped_files(HeldProcess& held, Batch& batch) {
  std::map<std::uint32_t, int> fds;
  for (const AreaState& area : held.image.memory.areas) {
    if (area.kind != AreaKind::FilePrivate && area.kind != AreaKind::FileShared) continue;
    fds.emplace(area.file, 0);
  }
  int next = 0;
  for (auto& [index, fd] : fds) {
    const FileIdentity& file = held.image.memory.files[index];
    held.make_room(batch, kEntryRoom + file.path.size());
    // Past the parked descriptors' beginning the numbers would jump: park is above all of the program's own and at
    // least above this many.
    fd = next++;
    batch.must("open " + file.path, SYS_openat, AT_FDCWD, batch.push_string(file.path),
               (file.written ? O_RDWR : O_RDONLY) | O_CLOEXEC, 0);
    batch.must("dup3 " + file.path, SYS_dup3, 0, held.free_fd + fd, O_CLOEXEC);
    batch.must("close", SYS_close, 0);
    fd += held.free_fd;
  }
  return fds;
}

// What is in it comes with the file, and is not ours to write.
static bool has_own_content(AreaKind kind) { return kind == AreaKind::FileShared || kind == AreaKind::NamelessShared; }

static int map_flags(const AreaState& area) {
  const bool shared = area.kind == AreaKind::FileShared || area.kind == AreaKind::NamelessShared;
  const bool anonymous = area.kind == AreaKind::Anonymous;
  return (shared ? MAP_SHARED : MAP_PRIVATE) | (anonymous ? MAP_ANONYMOUS : 0) | MAP_FIXED_NOREPLACE |
         ((area.flags & kAreaGrowsDown) != 0 ? MAP_GROWSDOWN : 0) |
         ((area.flags & kAreaNoReserve) != 0 ? MAP_NORESERVE : 0) |
         (anonymous ? huge_page_flags(huge_shift_of(area)) : 0);
}

// Not with PROT_EXEC alone: the kernel would choose a protection key for it.
static bool is_closed(const AreaState& area) {
  constexpr int kOpen = PROT_READ | PROT_WRITE;
  return !has_own_content(area.kind) && (area.prot & kOpen) != kOpen && area.prot != PROT_EXEC && area.key == 0;
}

static void map_area(HeldProcess& held, Batch& batch, const AreaState& area, int fd) {
  held.make_room(batch, kEntryRoom);
  const bool of_shared_file = has_own_content(area.kind);
  const int shared_prot = area.prot == PROT_EXEC ? PROT_READ | PROT_EXEC : area.prot;
  const int private_prot = is_closed(area) ? area.prot : area.prot | PROT_READ | PROT_WRITE;
  const int prot = of_shared_file ? shared_prot : private_prot;
  batch.must(fmt::format("mmap {:#x}", area.start), SYS_mmap, area.start, area.bytes(), prot, map_flags(area), fd,
             fd < 0 ? 0 : area.offset);
  // Before the contents: it decides whether these come in huge pages.
  if (area.flags & kAreaHugePages) batch.may(SYS_madvise, area.start, area.bytes(), MADV_HUGEPAGE);
  if (area.flags & kAreaNoHugePages) batch.may(SYS_madvise, area.start, area.bytes(), MADV_NOHUGEPAGE);
}

// Areas of huge pages can't be duplicated (mremap(2): EINVAL), only moved (Linux >= 5.16). Of anonymous memory that
// will do: for the same reason no process has one part of it twice. A segment is attached anew for each of its areas,
// which leaves the part that was asked for.
static void move_huge_area(HeldProcess& held, Batch& batch, const RestoredTree& tree, const AreaState& area,
                           const SharedObject& object) {
  held.make_room(batch, kEntryRoom);
  if (area.kind == AreaKind::SystemV) {
    const std::int32_t id = tree.model.ipc->segments[area.file].owner.id;
    batch.must("munmap", SYS_munmap, object.address, object.bytes);
    batch.must(fmt::format("shmat segment {}", id), SYS_shmat, id, object.address,
               SegmentKey::of(area).writable ? 0 : SHM_RDONLY);
  }
  batch.must(fmt::format("mremap to {:#x}", area.start), SYS_mremap, object.address + area.offset, area.bytes(),
             area.bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, area.start);
}

// A part of a shared object is duplicated to its place (mremap(2) with an old size of 0); what was inherited goes.
static void map_shared_memory(HeldProcess& held, const RestoredTree& tree) {
  Batch batch = held.batch();
  for (const AreaState& area : held.image.memory.areas) {
    if (area.kind != AreaKind::SharedAnonymous && area.kind != AreaKind::SystemV) continue;
    const SharedObject& object =
        area.kind == AreaKind::SystemV ? tree.segments.at(SegmentKey::of(area)) : tree.shared_memory.at(area.file);
    if (object.huge_shift != 0) {
      move_huge_area(held, batch, tree, area, object);
      continue;
    }
    held.make_room(batch, kEntryRoom);
    batch.must(fmt::format("mremap to {:#x}", area.start), SYS_mremap, object.address + area.offset, 0, area.bytes(),
               MREMAP_MAYMOVE | MREMAP_FIXED, area.start);
  }
  const auto unmap = [&](const SharedObject& object) {
    held.make_room(batch, kEntryRoom);
    batch.must("munmap", SYS_munmap, object.address, object.bytes);
  };
  for (const auto& [number, object] : tree.shared_memory) unmap(object);
  for (const auto& [key, segment] : tree.segments) unmap(segment);
  held.run(batch);
}

// Before the contents, which then come from the right nodes. A node without them gives what it has, as it does with
// CPUs.
static void set_area_policies(HeldProcess& held) {
  Batch batch = held.batch();
  for (const AreaPolicy& area : held.image.memory.policies) {
    held.make_room(batch, kEntryRoom);
    batch.may(SYS_mbind, area.start, area.end - area.start, area.policy.mode, batch.push_value(area.policy.nodes),
              kNumaMaskWords * 64 + 1, 0);
  }
  held.run(batch);
}

void map_memory(HeldProcess& held, const RestoredTree& tree) {
  if (!tree.other_vdso) map_same_vdso(held);
  Batch batch = held.batch();
  const auto fds = open_mapped_files(held, batch);
  for (const AreaState& area : held.image.memory.areas) {
    int fd = -1;
    if (area.kind == AreaKind::FilePrivate || area.kind == AreaKind::FileShared)
      fd = fds.at(area.file);
    else if (area.kind == AreaKind::NamelessShared || area.kind == AreaKind::NamelessPrivate)
      fd = held.objects_fd + static_cast<int>(area.file);
    const bool here = fd >= 0 || area.kind == AreaKind::Anonymous;
    if (here) map_area(held, batch, area, fd);
    held.closed_areas.push_back(here && is_closed(area));
  }
  held.make_room(batch, kEntryRoom);
  batch.must("close_range", SYS_close_range, held.free_fd, held.free_fd + static_cast<int>(fds.size()), 0);
  held.run(batch);
  map_shared_memory(held, tree);
  set_area_policies(held);
  make_aio_contexts(held);
  if (tree.other_vdso) map_other_vdso(held);
}

}  // namespace drover
