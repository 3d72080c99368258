// Puts pages into processes, with a second thread once there are many: nearly all of the time is the kernel's, which
// makes each page, and the other processors are free while a tree is held.
#pragma once

#include <sys/uio.h>

#include <array>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ckpt/freeze/remote_memory.h"
#include "ckpt/image/pages.h"
#include "ckpt/restore/missing_pages.h"
#include "ckpt/sys/background_call.h"

namespace drover {

// Where some of a record's pages go, in one area.
struct PagePlace {
  std::uint64_t address = 0;
  std::size_t bytes = 0;
  const MissingPages* missing = nullptr;  // which has to make them; null: they are written to
};

class PageFiller {
 public:
  PageFiller() = default;
  PageFiller(const PageFiller&) = delete;
  PageFiller& operator=(const PageFiller&) = delete;
  ~PageFiller();

  // The pages of one record and their places, in order; `flags` are its record's. Throws what went wrong with these
  // pages or earlier ones, and then all the time.
  // `keep` lets their bytes be as they are (ImageReader::keep()); without it they are copied, if need be.
  using Keep = std::function<std::shared_ptr<const void>()>;
  void add(const RemoteMemory& memory, std::span<const PagePlace> places, const PagesView& pages, std::uint32_t flags,
           const Keep& keep = {});
  // What was added is in place afterwards.
  void drain();
  // The same, and nothing more is added.
  void finish();

 private:
  struct Part {  // of one record
    pid_t pid = 0;
    std::vector<PagePlace> places;
    std::shared_ptr<const void> kept;  // what `bytes` are of; null: of `copy`
    std::vector<std::byte> copy;
    std::span<const std::byte> bytes;
    bool compressed = false;
    std::size_t pages = 0;
  };
  static constexpr int kAlone = 16;         // records, before a second thread is worth its making
  static constexpr std::size_t kSlots = 4;  // of up to 256 KiB: what waits should still be in the cache

  bool queue(const RemoteMemory& memory, std::span<const PagePlace> places, const PagesView& pages, bool compressed,
             const Keep& keep);
  void let_go();
  void work();
  void end_work();

  int records_ = 0;
  std::vector<iovec> ranges_;
  std::vector<std::byte> unpacked_;

  std::mutex mutex_;
  std::condition_variable changed_, drained_;
  std::array<Part, kSlots> parts_;
  std::size_t first_ = 0, queued_ = 0;  // the first is being worked on, if any is
  bool threaded_ = false, over_ = false;
  std::exception_ptr failure_;
  BackgroundCall other_;  // last: it ends before what it uses
};

}  // namespace drover
