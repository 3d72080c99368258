// Puts pages into processes, with a second thread once there are many: nearly all of the time is the kernel's, which
// makes each page, and the other processors are free while a tree is held.
#pragma once

#include <sys/uio.h>

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <span>
#include <vector>

#include "ckpt/freeze/remote_memory.h"
#include "ckpt/image/pages.h"
#include "ckpt/sys/background_call.h"

namespace drover {

class PageFiller {
 public:
  PageFiller() = default;
  PageFiller(const PageFiller&) = delete;
  PageFiller& operator=(const PageFiller&) = delete;
  ~PageFiller();

  // The pages of one record, whose places have been checked; `flags` are its record's. Throws what went wrong with
  // these pages or earlier ones, and then all the time.
  void add(const RemoteMemory& memory, const PagesView& pages, std::uint32_t flags);
  // All pages are in place afterwards.
  void finish();

 private:
  struct Part {  // of one record
    pid_t pid = 0;
    std::vector<PageRun> runs;
    std::vector<std::byte> bytes;
    bool compressed = false;
    std::size_t pages = 0;
  };
  class Place;
  static constexpr int kAlone = 16;         // records, before a second thread is worth its making
  static constexpr std::size_t kSlots = 4;  // of up to 256 KiB: what waits should still be in the cache

  bool queue(const RemoteMemory& memory, const PagesView& pages, bool compressed);
  void work();
  void end_work();

  int records_ = 0;
  std::vector<iovec> ranges_;
  std::vector<std::byte> unpacked_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Part, kSlots> parts_;
  std::size_t first_ = 0, queued_ = 0;  // the first is being worked on, if any is
  bool threaded_ = false, over_ = false;
  std::exception_ptr failure_;
  BackgroundCall other_;  // last: it ends before what it uses
};

}  // namespace drover
