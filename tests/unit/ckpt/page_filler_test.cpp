// Pages into this process itself: by one thread, and by two.
#include "ckpt/restore/page_filler.h"

#include <gtest/gtest.h>
#include <lz4.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "ckpt/image/error.h"
#include "ckpt/sys/error.h"

namespace drover {
namespace {

constexpr std::size_t kPagesOfRecord = 8;

class Target {
 public:
  explicit Target(std::size_t pages)
      : pages_(pages),
        begin_(static_cast<std::byte*>(
            ::mmap(nullptr, pages * kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target() { ::munmap(begin_, pages_ * kPageBytes); }
  const std::byte* page(std::size_t index) const { return begin_ + index * kPageBytes; }
  std::uint64_t address(std::size_t index) const { return reinterpret_cast<std::uint64_t>(page(index)); }

 private:
  std::size_t pages_;
  std::byte* begin_;
};

std::vector<std::byte> contents(std::size_t record) {
  std::vector<std::byte> bytes(kPagesOfRecord * kPageBytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(record * 7 + i / kPageBytes + 1);
  return bytes;
}

std::vector<std::byte> squeezed(const std::vector<std::byte>& bytes) {
  std::vector<std::byte> block(bytes.size());
  block.resize(static_cast<std::size_t>(
      LZ4_compress_default(reinterpret_cast<const char*>(bytes.data()), reinterpret_cast<char*>(block.data()),
                           static_cast<int>(bytes.size()), static_cast<int>(block.size()))));
  return block;
}

// Every other page, so that no range is longer than one.
std::vector<PageRun> places(const Target& target, std::size_t record) {
  std::vector<PageRun> runs;
  for (std::size_t i = 0; i < kPagesOfRecord; ++i)
    runs.push_back({target.address(2 * (record * kPagesOfRecord + i)), 1});
  return runs;
}

// The bytes are gone when add() has returned, as those of a reader are.
void add(PageFiller& filler, const RemoteMemory& memory, const std::vector<PageRun>& runs, std::vector<std::byte> bytes,
         std::uint32_t flags) {
  std::vector<PagePlace> places;
  places.reserve(runs.size());
  for (const PageRun& run : runs) places.push_back({run.address, run.pages * kPageBytes, nullptr});
  filler.add(memory, places, {{1, 0, kPagesOfRecord, kPagesOfRecord}, runs, bytes}, flags);
  std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
}

TEST(PageFiller, PutsEachPageInItsPlace) {
  for (const std::size_t records : {1U, 15U, 16U, 17U, 400U}) {
    const Target target(records * kPagesOfRecord * 2);
    const RemoteMemory memory(::getpid());
    PageFiller filler;
    for (std::size_t record = 0; record < records; ++record) {
      const bool compressed = record % 3 == 0;
      add(filler, memory, places(target, record), compressed ? squeezed(contents(record)) : contents(record),
          compressed ? std::uint32_t{kPagesLz4} : 0U);
    }
    filler.finish();
    const std::byte nothing[kPageBytes]{};
    for (std::size_t record = 0; record < records; ++record) {
      const auto bytes = contents(record);
      for (std::size_t i = 0; i < kPagesOfRecord; ++i) {
        const std::size_t at = 2 * (record * kPagesOfRecord + i);
        ASSERT_EQ(std::memcmp(target.page(at), &bytes[i * kPageBytes], kPageBytes), 0) << record << " of " << records;
        ASSERT_EQ(std::memcmp(target.page(at + 1), nothing, kPageBytes), 0) << record << " of " << records;
      }
    }
  }
}

// Whichever thread it happens in, it is thrown by one of the calls.
template <class Error, class Spoil>
void expect_failure(std::size_t at, Spoil add_bad) {
  constexpr std::size_t kRecords = 60;
  const Target target(kRecords * kPagesOfRecord * 2);
  const RemoteMemory memory(::getpid());
  const auto work = [&] {
    PageFiller filler;
    for (std::size_t record = 0; record < kRecords; ++record) {
      if (record == at)
        add_bad(filler, memory, target, record);
      else
        add(filler, memory, places(target, record), contents(record), 0);
    }
    filler.finish();
  };
  EXPECT_THROW(work(), Error) << at;
}

TEST(PageFiller, TellsWhatFailed) {
  for (const std::size_t at : {0U, 15U, 16U, 20U, 58U, 59U}) {
    expect_failure<SystemError>(at,
                                [](PageFiller& filler, const RemoteMemory& memory, const Target&, std::size_t record) {
                                  std::vector<PageRun> nowhere;
                                  for (std::size_t i = 0; i < kPagesOfRecord; ++i)
                                    nowhere.push_back({0x1000 * (i + 1), 1});
                                  add(filler, memory, nowhere, contents(record), 0);
                                });
    expect_failure<ImageError>(
        at, [](PageFiller& filler, const RemoteMemory& memory, const Target& target, std::size_t record) {
          add(filler, memory, places(target, record), squeezed(std::vector<std::byte>(kPageBytes)), kPagesLz4);
        });
  }
}

// Bytes that are kept are not copied, and are let go of when they are in place.
TEST(PageFiller, LetsGoOfWhatWasKept) {
  constexpr std::size_t kRecords = 200;
  const Target target(kRecords * kPagesOfRecord * 2);
  const RemoteMemory memory(::getpid());
  std::vector<std::weak_ptr<const void>> kept;
  {
    PageFiller filler;
    for (std::size_t record = 0; record < kRecords; ++record) {
      const auto bytes = std::make_shared<std::vector<std::byte>>(contents(record));
      const auto keep = [&]() -> std::shared_ptr<const void> {
        kept.push_back(bytes);
        return bytes;
      };
      const auto runs = places(target, record);
      std::vector<PagePlace> all;
      all.reserve(runs.size());
      for (const PageRun& run : runs) all.push_back({run.address, run.pages * kPageBytes, nullptr});
      filler.add(memory, all, {{1, 0, kPagesOfRecord, kPagesOfRecord}, runs, *bytes}, 0, keep);
    }
    const auto held = std::count_if(kept.begin(), kept.end(), [](const auto& one) { return !one.expired(); });
    EXPECT_LE(held, 4);
    filler.finish();
  }
  EXPECT_FALSE(kept.empty());
  for (const auto& one : kept) EXPECT_TRUE(one.expired());
  for (std::size_t record = 0; record < kRecords; ++record)
    for (std::size_t i = 0; i < kPagesOfRecord; ++i)
      ASSERT_EQ(
          std::memcmp(target.page(2 * (record * kPagesOfRecord + i)), &contents(record)[i * kPageBytes], kPageBytes),
          0);
}

TEST(PageFiller, CanBeGivenUp) {
  const Target target(40 * kPagesOfRecord * 2);
  const RemoteMemory memory(::getpid());
  PageFiller filler;
  for (std::size_t record = 0; record < 40; ++record) add(filler, memory, places(target, record), contents(record), 0);
}

}  // namespace
}  // namespace drover
