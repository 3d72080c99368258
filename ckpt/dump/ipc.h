// System V IPC (sysvipc(7)) of a tree that has an IPC namespace to itself. The dumper is in the same one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "ckpt/dump/huge_pages.h"
#include "ckpt/dump/obstacles.h"
#include "ckpt/freeze/injected_area.h"
#include "ckpt/image/state/ipc.h"
#include "ckpt/image/writer.h"

namespace drover {

// A segment, readable here for as long as the object lives. Its times and "last user" are the dumper's afterwards.
class AttachedSegment {
 public:
  explicit AttachedSegment(std::int32_t id, bool writable = false);  // throws SystemError
  AttachedSegment(AttachedSegment&&) noexcept = default;
  const std::byte* begin() const { return at_.get(); }

 private:
  struct Detach {
    void operator()(const std::byte*) const noexcept;
  };
  std::unique_ptr<const std::byte, Detach> at_;
};

struct IpcDump {
  IpcState state;
  std::vector<AttachedSegment> segments;  // in the order of IpcState::segments
  std::vector<bool> swapped;              // some of it is in swap
  std::vector<HugePages> huge_pages;      // of segments in huge pages: which there are
};

// Everything in the namespace but adjustments of semaphores, when the tree is stopped. TreeObjects learns the numbers
// of the segments.
Or<IpcDump> collect_ipc(TreeObjects&);

// Keys of segments that have been removed, which only their areas still tell: after all memory has been planned.
void name_removed_segments(const TreeObjects&, IpcState&);

// What the end of the process would add to semaphores. Changes nothing, neither values nor times.
Or<std::vector<SemaphoreAdjustment>> find_adjustments(const FrozenProcess&, InjectedArea&,
                                                      std::span<const SemaphoreSetState>);

// The sets of a namespace that the tree has not to itself, as far as they may be read: nothing in them travels, but
// nobody in the tree may hold adjustments.
std::vector<SemaphoreSetState> list_foreign_semaphores();

void write_segments(const IpcDump&, ImageWriter&);

}  // namespace drover
