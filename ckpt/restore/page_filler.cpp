#include "ckpt/restore/page_filler.h"

#include <lz4.h>

#include <utility>

#include "ckpt/image/error.h"

namespace drover {

static std::span<const std::byte> unpack(std::span<const std::byte> block, std::size_t pages,
                                         std::vector<std::byte>& to) {
  to.resize(pages * kPageBytes);
  const int size = LZ4_decompress_safe(reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(to.data()),
                                       static_cast<int>(block.size()), static_cast<int>(to.size()));
  if (size != static_cast<int>(to.size())) throw ImageError("damaged image: compressed pages of the wrong size");
  return to;
}

static void fill_places(const RemoteMemory& memory, std::span<const PagePlace> places, std::span<const std::byte> bytes,
                        std::vector<iovec>& ranges) {
  std::size_t at = 0, written = 0;
  const auto write = [&] {
    memory.write_ranges(ranges, bytes.subspan(written, at - written));
    ranges.clear();
  };
  ranges.clear();
  for (const PagePlace& place : places) {
    if (place.missing == nullptr) {
      ranges.push_back({reinterpret_cast<void*>(place.address), place.bytes});
    } else {
      write();
      place.missing->fill(memory, place.address, bytes.subspan(at, place.bytes));
      written = at + place.bytes;
    }
    at += place.bytes;
  }
  write();
}

PageFiller::~PageFiller() { end_work(); }

void PageFiller::add(const RemoteMemory& memory, std::span<const PagePlace> places, const PagesView& pages,
                     std::uint32_t flags, const Keep& keep) {
  const bool compressed = (flags & kPagesLz4) != 0;
  if (++records_ == kAlone && other_.prepare()) {
    threaded_ = true;
    other_.start([this] { work(); });
  }
  let_go();
  if (threaded_ && queue(memory, places, pages, compressed, keep)) return;
  fill_places(memory, places, compressed ? unpack(pages.bytes, pages.head.pages, unpacked_) : pages.bytes, ranges_);
}

// Of what has been put in place.
void PageFiller::let_go() {
  if (!threaded_) return;
  const std::lock_guard lock(mutex_);
  for (std::size_t i = queued_; i < kSlots; ++i) parts_[(first_ + i) % kSlots].kept.reset();
}

// False if the other thread has enough to do.
bool PageFiller::queue(const RemoteMemory& memory, std::span<const PagePlace> places, const PagesView& pages,
                       bool compressed, const Keep& keep) {
  Part* part = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
    if (queued_ == kSlots) return false;
    part = &parts_[(first_ + queued_) % kSlots];
  }
  part->pid = memory.pid();
  part->places.assign(places.begin(), places.end());
  part->bytes = pages.bytes;
  if (keep) part->kept = keep();
  if (!part->kept) {
    part->copy.assign(pages.bytes.begin(), pages.bytes.end());
    part->bytes = part->copy;
  }
  part->compressed = compressed;
  part->pages = pages.head.pages;
  {
    const std::lock_guard lock(mutex_);
    ++queued_;
  }
  changed_.notify_one();
  return true;
}

void PageFiller::work() {
  std::vector<iovec> ranges;
  std::vector<std::byte> unpacked;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return queued_ > 0 || over_; });
    if (queued_ == 0 || failure_) return;
    const Part& part = parts_[first_];
    lock.unlock();
    std::exception_ptr failure;
    try {
      const RemoteMemory memory(part.pid);  // not the other thread's: what it opens is its own
      fill_places(memory, part.places, part.compressed ? unpack(part.bytes, part.pages, unpacked) : part.bytes, ranges);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    failure_ = failure;
    first_ = (first_ + 1) % kSlots;
    if (--queued_ == 0 || failure_) drained_.notify_one();
  }
}

void PageFiller::drain() {
  std::unique_lock lock(mutex_);
  drained_.wait(lock, [this] { return queued_ == 0 || failure_; });
  if (failure_) std::rethrow_exception(failure_);
}

void PageFiller::end_work() {
  if (!std::exchange(threaded_, false)) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_one();
  other_.wait();
}

void PageFiller::finish() {
  end_work();
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace drover
