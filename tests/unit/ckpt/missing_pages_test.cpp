// Pages of this process itself that are not there, made with their contents.
#include "ckpt/restore/missing_pages.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "ckpt/image/format.h"
#include "ckpt/restore/page_filler.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/features.h"

namespace drover {
namespace {

class MissingPagesTest : public testing::Test {
 protected:
  static constexpr std::size_t kPages = 128;

  void SetUp() override {
    if (!kernel_features().userfaultfd) GTEST_SKIP() << "this kernel has no userfaultfd";
    UniqueFd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY)));
    uffdio_api api{};
    api.api = UFFD_API;
    ASSERT_EQ(::ioctl(fd.get(), UFFDIO_API, &api), 0);
    missing_.emplace(std::move(fd));
    begin_ = static_cast<std::byte*>(
        ::mmap(nullptr, kPages * kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(begin_, MAP_FAILED);
    area_.start = reinterpret_cast<std::uint64_t>(begin_);
    area_.end = area_.start + kPages * kPageBytes;
    area_.flags = kAreaNoHugePages;
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<std::byte>(i / kPageBytes + 1);
  }
  void TearDown() override {
    missing_.reset();
    if (begin_ != nullptr) ::munmap(begin_, kPages * kPageBytes);
  }
  void expect_filled() {
    missing_.reset();  // from here on its pages are made by touching them, as ever
    EXPECT_EQ(std::memcmp(begin_, bytes_.data(), bytes_.size()), 0);
  }

  std::optional<MissingPages> missing_;
  std::byte* begin_ = nullptr;
  AreaState area_;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(kPages * kPageBytes);
  RemoteMemory memory_{::getpid()};
};

TEST_F(MissingPagesTest, MakesThemWithTheirContents) {
  ASSERT_TRUE(missing_->covers(area_, 3));
  EXPECT_TRUE(missing_->covers(area_, 3));
  missing_->fill(memory_, area_.start, bytes_);
  expect_filled();
}

TEST_F(MissingPagesTest, OverwritesThoseThatAreThere) {
  for (const std::size_t page : {0U, 1U, 7U, 63U, 127U}) begin_[page * kPageBytes] = std::byte{0xee};
  ASSERT_TRUE(missing_->covers(area_, 0));
  missing_->fill(memory_, area_.start, bytes_);
  expect_filled();
}

TEST_F(MissingPagesTest, TellsWhatFails) {
  ASSERT_TRUE(missing_->covers(area_, 0));
  EXPECT_THROW(missing_->fill(memory_, 0x1000, std::span(bytes_).first(kPageBytes)), SystemError);
}

TEST_F(MissingPagesTest, CoversOnlyWhatGainsByIt) {
  auto covers = [this, index = std::size_t{0}](auto change) mutable {
    AreaState area = area_;
    change(area);
    return missing_->covers(area, index++);
  };
  EXPECT_FALSE(covers([](AreaState& area) { area.kind = AreaKind::FilePrivate; }));
  EXPECT_FALSE(covers([](AreaState& area) { area.flags |= kAreaGrowsDown; }));
  EXPECT_FALSE(covers([](AreaState& area) { area.flags |= 21U << kAreaHugeShift; }));
  EXPECT_FALSE(covers([](AreaState& area) { area.end = area.start + 8 * kPageBytes; }));
  EXPECT_FALSE(
      covers([](AreaState& area) { area.start = 0x1000, area.end = 0x1000 + kPages * kPageBytes; }));  // nowhere
  EXPECT_TRUE(covers([](AreaState&) {}));
}

// One record with places of both kinds, in turn, by one thread and by two.
TEST_F(MissingPagesTest, AreFilledBesideOthers) {
  for (const int records : {1, 40}) {
    AreaState half = area_;
    half.end = half.start + area_.bytes() / 2;
    ASSERT_TRUE(missing_->covers(half, 0));
    PageFiller filler;
    std::vector<PagePlace> places;
    std::vector<PageRun> runs;
    for (std::size_t page = 0; page < kPages; page += 4) {
      const std::uint64_t address = area_.start + page * kPageBytes;
      runs.push_back({address, 4});
      places.push_back({address, 4 * kPageBytes, address < half.end ? &*missing_ : nullptr});
    }
    const PagesView view{{1, 0, static_cast<std::uint32_t>(runs.size()), kPages}, runs, bytes_};
    for (int i = 0; i < records; ++i) filler.add(memory_, places, view, 0);
    filler.drain();
    filler.finish();
  }
  expect_filled();
}

}  // namespace
}  // namespace drover
