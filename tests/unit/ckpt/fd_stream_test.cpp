// Images in files: small ones are written and read at once, large ones by a thread beside.
#include "ckpt/image/fd_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "ckpt/sys/background_call.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {
namespace {

std::vector<std::byte> make_bytes(std::size_t count) {
  std::mt19937_64 random(4711);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

void put(ByteSink& sink, std::span<const std::byte> bytes, std::size_t most) {
  for (std::size_t size = 1; !bytes.empty(); size = size * 7 % most + 1) {
    const std::size_t part = std::min(size, bytes.size());
    std::memcpy(sink.reserve(part).data(), bytes.data(), part);
    sink.commit(part);
    bytes = bytes.subspan(part);
  }
}

class FdStreams : public testing::TestWithParam<std::size_t> {};

TEST_P(FdStreams, GiveBackWhatWasWritten) {
  const UniqueFd file(check(::memfd_create("image", MFD_CLOEXEC), "memfd_create"));
  const auto bytes = make_bytes(GetParam());
  {
    FdSink sink(file.get());
    put(sink, bytes, kMaxRecordBytes);
    sink.flush();
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_END), static_cast<off_t>(bytes.size()));
  }
  check(::lseek(file.get(), 0, SEEK_SET), "lseek");
  FdSource source(file.get());
  std::size_t at = 0;
  for (std::size_t size = 1; at < bytes.size(); size = size * 5 % kMaxRecordBytes + 1) {
    const auto window = source.peek(size);
    ASSERT_EQ(window.size(), std::min(size, bytes.size() - at)) << "at " << at;
    ASSERT_EQ(std::memcmp(window.data(), &bytes[at], window.size()), 0) << "at " << at;
    source.consume(window.size());
    at += window.size();
  }
  EXPECT_TRUE(source.peek(1).empty());
  EXPECT_TRUE(source.peek(kMaxRecordBytes).empty());
}

INSTANTIATE_TEST_SUITE_P(OfManySizes, FdStreams,
                         testing::Values(1, 100'000, std::size_t{8} << 20, (std::size_t{8} << 20) + 1,
                                         (std::size_t{33} << 20) + 12345));

TEST(FdSource, BeginsWhereTheFileStands) {
  const UniqueFd file(check(::memfd_create("image", MFD_CLOEXEC), "memfd_create"));
  const auto bytes = make_bytes(std::size_t{20} << 20);
  ASSERT_EQ(::write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  check(::lseek(file.get(), 1000, SEEK_SET), "lseek");
  FdSource source(file.get());
  const auto window = source.peek(kMaxRecordBytes);
  ASSERT_EQ(window.size(), kMaxRecordBytes);
  EXPECT_EQ(std::memcmp(window.data(), &bytes[1000], window.size()), 0);
}

// Several windows at a time, let go of in the order in which they came, as those who fill pages do.
void expect_kept_windows(int fd, std::span<const std::byte> bytes) {
  struct Window {
    std::shared_ptr<const void> kept;
    std::span<const std::byte> bytes;
    std::size_t at;
  };
  FdSource source(fd);
  std::deque<Window> windows;
  const auto let_go = [&] {
    const Window& first = windows.front();
    ASSERT_EQ(std::memcmp(first.bytes.data(), &bytes[first.at], first.bytes.size()), 0) << "at " << first.at;
    windows.pop_front();
  };
  std::size_t at = 0;
  for (std::size_t size = 200'000; at < bytes.size(); size = size * 5 % kMaxRecordBytes + 1) {
    const auto window = source.peek(size);
    ASSERT_FALSE(window.empty());
    if (size % 3 != 0) windows.push_back({source.keep(), window, at});
    source.consume(window.size());
    at += window.size();
    if (windows.size() > 5) let_go();
  }
  while (!windows.empty()) let_go();
}

TEST(FdSource, WhatIsKeptStaysAsItIs) {
  const auto bytes = make_bytes(std::size_t{20} << 20);
  const UniqueFd file(check(::memfd_create("image", MFD_CLOEXEC), "memfd_create"));
  ASSERT_EQ(::write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  check(::lseek(file.get(), 0, SEEK_SET), "lseek");
  expect_kept_windows(file.get(), bytes);
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC), "pipe2");
  const UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  std::thread writer([&] {
    FdSink sink(to.get());
    EXPECT_EQ(::fcntl(to.get(), F_GETPIPE_SZ), 1 << 20);
    put(sink, bytes, kMaxRecordBytes);
    sink.flush();
    to.reset();
  });
  expect_kept_windows(from.get(), bytes);
  writer.join();
}

// The disk is full when the thread beside writes: whoever writes next or flushes hears of it.
TEST(FdSink, TellsWhatWentWrongBeside) {
  const UniqueFd file(check(::memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
  const auto bytes = make_bytes(std::size_t{12} << 20);
  FdSink sink(file.get());
  put(sink, bytes, kMaxRecordBytes);
  check(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW), "F_ADD_SEALS");
  EXPECT_THROW(
      {
        put(sink, bytes, kMaxRecordBytes);
        sink.flush();
      },
      SystemError);
}

TEST(BackgroundCall, ThrowsOnceWhatTheCallThrew) {
  BackgroundCall call;
  bool ran = false;
  call.start([&] { ran = true; });
  call.wait();
  EXPECT_TRUE(ran);
  call.start([] { throw SystemError("write image", {}, ENOSPC); });
  EXPECT_THROW(call.wait(), SystemError);
  EXPECT_NO_THROW(call.wait());
}

TEST(BackgroundCall, MakesOneCallAfterTheOther) {
  std::vector<int> order;
  {
    BackgroundCall call;
    for (int i = 0; i < 100; ++i) call.start([&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

}  // namespace
}  // namespace drover
