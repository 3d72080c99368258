#include "ckpt/image/archive.h"

#include <gtest/gtest.h>

#include "ckpt/image/state/files.h"
#include "ckpt/image/state/thread.h"

namespace drover {
namespace {

struct Sample {
  std::int32_t number = 0;
  std::string text;
  std::vector<std::uint16_t> list;
  std::optional<bool> maybe;
  std::array<std::uint8_t, 3> fixed{};
  template <class A>
  void serialize(A& a, unsigned) {
    a& number& text& list& maybe& fixed;
  }
};

template <class T>
T round_trip(const T& value) {
  OutArchive out;
  out& value;
  InArchive in(out.bytes());
  T copy{};
  in& copy;
  in.expect_end();
  return copy;
}

TEST(Archive, GivesBackWhatWasPut) {
  const Sample copy = round_trip(Sample{-7, "hello", {1, 2, 65535}, true, {9, 8, 7}});
  EXPECT_EQ(copy.number, -7);
  EXPECT_EQ(copy.text, "hello");
  EXPECT_EQ(copy.list, (std::vector<std::uint16_t>{1, 2, 65535}));
  EXPECT_EQ(copy.maybe, true);
  EXPECT_EQ(copy.fixed, (std::array<std::uint8_t, 3>{9, 8, 7}));
}

TEST(Archive, EncodingIsLittleEndianWithoutPadding) {
  OutArchive out;
  out& Sample{0x01020304, "a", {0x0506}, std::nullopt, {1, 2, 3}};
  const unsigned char expected[] = {4, 3, 2, 1, 1, 0, 0, 0, 'a', 1, 0, 0, 0, 6, 5, 0, 1, 2, 3};
  ASSERT_EQ(out.bytes().size(), sizeof expected);
  EXPECT_EQ(std::memcmp(out.bytes().data(), expected, sizeof expected), 0);
}

TEST(Archive, NestedStatesSurvive) {
  FilesState files;
  files.descriptors = {{3, true, 1}};
  EXPECT_EQ(round_trip(files).descriptors[0].fd, 3);
  OpenFilesState open_files;
  open_files.files.resize(2);
  open_files.files[1].kind = FileKind::Epoll;
  open_files.files[1].watched.push_back({5, 1, 77});
  EXPECT_EQ(round_trip(open_files).files[1].watched[0].data, 77U);
  ThreadState thread;
  thread.wait = WaitState{123, true};
  thread.xstate.resize(1000, std::byte{3});
  EXPECT_EQ(round_trip(thread).wait->remaining_ns, 123);
  EXPECT_EQ(round_trip(thread).xstate.size(), 1000U);
}

TEST(Archive, EveryTruncationIsRefused) {
  OutArchive out;
  out& Sample{1, "text", {1, 2, 3}, true, {}};
  for (std::size_t n = 0; n < out.bytes().size(); ++n) {
    InArchive in(out.bytes().first(n));
    Sample copy;
    EXPECT_THROW(in & copy, ImageError) << n;
  }
}

TEST(Archive, HostileLengthsAllocateNothing) {
  const std::uint32_t huge = 0xffffffff;
  InArchive in(std::as_bytes(std::span(&huge, 1)));
  std::vector<ThreadState> threads;
  EXPECT_THROW(in & threads, ImageError);
  EXPECT_LT(threads.capacity(), 16U);
  InArchive text(std::as_bytes(std::span(&huge, 1)));
  std::string string;
  EXPECT_THROW(text & string, ImageError);
}

TEST(Archive, LeftoverBytesAndBadBoolsAreRefused) {
  const std::byte bytes[] = {std::byte{2}, std::byte{0}};
  InArchive in(bytes);
  bool value = false;
  EXPECT_THROW(in & value, ImageError);
  InArchive more(bytes);
  std::uint8_t one = 0;
  more& one;
  EXPECT_THROW(more.expect_end(), ImageError);
}

}  // namespace
}  // namespace drover
