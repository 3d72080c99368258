// The System V IPC of an IPC namespace, made anew with the same ids: by the restorer, which is in that namespace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "ckpt/image/state/ipc.h"
#include "ckpt/sys/error.h"

namespace drover {

class IpcTable {
 public:
  IpcTable() = default;
  IpcTable(const IpcTable&) = delete;
  IpcTable& operator=(const IpcTable&) = delete;
  ~IpcTable();  // removes what was not kept

  // Segments, still empty; sets, all values 0; queues with their messages. `new_namespace`: in one that is made for
  // them, which the caller is in then. Throws SystemError.
  void make(const IpcState&, bool new_namespace);
  // Why one of them can't be made.
  const std::optional<Refusal>& refusal() const { return refusal_; }
  // Throws ImageError if there is no such place.
  void add_content(const IpcDataState&);
  // When the tree has attached its segments: those that were removed live on by that.
  void detach();
  // From now on all of it stays.
  void keep() { remove_.clear(); }

 private:
  struct Attached {
    std::byte* at = nullptr;
    std::uint64_t bytes = 0;
  };
  Attached make_segment(const SegmentState&);
  Attached try_segment(const SegmentState&);
  void make_set(const SemaphoreSetState&);
  void make_queue(const MessageQueueState&);

  std::vector<Attached> segments_;
  std::optional<Refusal> refusal_;
  std::vector<std::function<void()>> remove_;
};

}  // namespace drover
