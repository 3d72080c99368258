#include "ckpt/image/content_mark.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "ckpt/sys/unique_fd.h"

namespace drover {
namespace {

std::vector<std::byte> bytes(const std::string& text) {
  const auto all = std::as_bytes(std::span(text));
  return {all.begin(), all.end()};
}

std::string note(const std::string& owner, char type, const std::string& content, std::size_t alignment) {
  const auto word = [](std::size_t value) { return std::string{static_cast<char>(value), 0, 0, 0}; };
  std::string all = word(owner.size()) + word(content.size()) + std::string{type, 0, 0, 0} + owner;
  all.resize((all.size() + alignment - 1) / alignment * alignment);
  all += content;
  all.resize((all.size() + alignment - 1) / alignment * alignment);
  return all;
}

const std::string kGnu("GNU\0", 4);

UniqueFd file_of(const std::string& content) {
  std::string name = "/tmp/drover-test-XXXXXX";
  UniqueFd fd(::mkstemp(name.data()));
  ::unlink(name.c_str());
  EXPECT_EQ(::write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  return fd;
}

TEST(ContentMark, FindsABuildIdAmongNotes) {
  for (const std::size_t alignment : {4U, 8U}) {
    const std::string notes = note(kGnu, 5, "12345", alignment) + note("Go\0\0", 3, "other", alignment) +
                              note(kGnu, 3, "twenty bytes of hash", alignment) + note(kGnu, 1, "abi", alignment);
    EXPECT_EQ(find_build_id(bytes(notes), alignment), bytes("twenty bytes of hash"));
  }
}

TEST(ContentMark, GetsOverNotesThatCantBe) {
  EXPECT_TRUE(find_build_id({}, 4).empty());
  EXPECT_TRUE(find_build_id(bytes(note(kGnu, 3, "", 4)), 4).empty());
  EXPECT_TRUE(find_build_id(bytes(note(kGnu, 3, std::string(65, 'x'), 4)), 4).empty());
  const std::string whole = note(kGnu, 3, "twenty bytes of hash", 4);
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_TRUE(find_build_id(bytes(whole.substr(0, length)), 4).empty()) << length;
  EXPECT_TRUE(find_build_id(bytes(std::string(100, '\xff')), 4).empty());
  EXPECT_TRUE(find_build_id(bytes(std::string(100, '\xff')), 8).empty());
}

TEST(ContentMark, OfASmallFileIsOfAllOfIt) {
  const std::string content(10'000, 'x');
  std::string other = content;
  other[9'999] = 'y';
  const ContentMark mark = content_mark(file_of(content).get(), ContentMarkKind::Hash);
  EXPECT_EQ(mark.kind, ContentMarkKind::Hash);
  EXPECT_TRUE(mark.same_as(content_mark(file_of(content).get(), ContentMarkKind::Hash)));
  EXPECT_FALSE(mark.same_as(content_mark(file_of(other).get(), ContentMarkKind::Hash)));
}

TEST(ContentMark, OfALargeProgramIsItsBuildId) {
  // This program: it has been linked with one by any compiler that is set up as distributions do.
  const UniqueFd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const ContentMark mark = content_mark(self.get(), ContentMarkKind::BuildId);
  if (mark.kind == ContentMarkKind::None) GTEST_SKIP() << "linked without a build-id";
  EXPECT_EQ(mark.kind, ContentMarkKind::BuildId);
  EXPECT_GE(mark.value.size(), 8U);
  EXPECT_TRUE(mark.same_as(content_mark(self.get(), ContentMarkKind::BuildId)));
}

TEST(ContentMark, WithoutOneNothingIsTheSame) {
  const std::string large(kMostHashedBytes + 1, 'x');
  const UniqueFd of_kernel(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  for (const ContentMarkKind kind : {ContentMarkKind::None, ContentMarkKind::Hash, ContentMarkKind::BuildId}) {
    const ContentMark none = content_mark(file_of(large).get(), kind);
    EXPECT_EQ(none.kind, ContentMarkKind::None);
    EXPECT_FALSE(none.same_as(none));
    EXPECT_EQ(content_mark(file_of("").get(), kind).kind, ContentMarkKind::None);
    EXPECT_EQ(content_mark(of_kernel.get(), kind).kind, ContentMarkKind::None);
  }
}

}  // namespace
}  // namespace drover
