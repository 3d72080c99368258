#include "ckpt/sys/tasks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"
#include "ckpt/sys/working_memory.h"

namespace drover {

TEST(Tasks, ReadsTheChildrenOfAThread) {
  EXPECT_EQ(parse_children("4711 4712 99 "), (std::vector<pid_t>{4711, 4712, 99}));
  EXPECT_TRUE(parse_children("").empty());
  EXPECT_TRUE(parse_children("x -3 0").empty());
}

TEST(Tasks, ListsParentsBeforeChildrenFromWhoeverKnowsThem) {
  const auto children_of = [](pid_t pid) {
    if (pid == 10) return std::vector<pid_t>{20, 21};
    if (pid == 20) return std::vector<pid_t>{30};
    return std::vector<pid_t>{};
  };
  EXPECT_EQ(list_tree(10, 0, children_of), (std::vector<pid_t>{10, 20, 21, 30}));
}

TEST(Tasks, AProcessIsSeenThroughAThreadAsLongAsSomebodySaysSo) {
  EXPECT_EQ(task_of(4711), 4711);
  {
    const SeenThrough thread(4711, 4712);
    EXPECT_EQ(task_of(4711), 4712);
    EXPECT_EQ(task_of(4713), 4713);
    EXPECT_EQ(proc_path(4711, "maps"), "/proc/4712/maps");
  }
  EXPECT_EQ(task_of(4711), 4711);
  EXPECT_EQ(proc_path(4711, "maps"), "/proc/4711/maps");
}

TEST(Text, AnOpenRecordIsReadAsItIsNow) {
  char path[] = "/tmp/drover-record-XXXXXX";
  const UniqueFd file(::mkstemp(path));
  ::unlink(path);
  ASSERT_EQ(::pwrite(file.get(), "one", 3, 0), 3);
  EXPECT_EQ(try_read_record(file.get()), "one");
  const std::string longer(10'000, 'x');
  ASSERT_EQ(::pwrite(file.get(), longer.data(), longer.size(), 0), static_cast<ssize_t>(longer.size()));
  EXPECT_EQ(try_read_record(file.get()), longer);
  EXPECT_FALSE(try_read_record(-1));
}

// In a process of its own: malloc() can't be put back.
TEST(WorkingMemory, IsThereBeforeItIsUsed) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "malloc() is the sanitizer's, which mallopt() says nothing to";
#endif
  const auto work = [] {
    constexpr std::size_t kBytes = std::size_t{3} << 20;
    prepare_working_memory(kBytes + (std::size_t{1} << 20));
    const auto* block = static_cast<const char*>(std::malloc(kBytes));
    const auto begin = (reinterpret_cast<std::uintptr_t>(block) + 4095) & ~std::uintptr_t{4095};
    std::vector<unsigned char> present((kBytes - 4096) / 4096);
    if (::mincore(reinterpret_cast<void*>(begin), present.size() * 4096, present.data()) != 0) std::_Exit(2);
    for (const unsigned char page : present)
      if ((page & 1) == 0) std::_Exit(1);
    std::_Exit(0);
  };
  EXPECT_EXIT(work(), testing::ExitedWithCode(0), "");
}

// FDSize is the size of the table, which a process inherits no larger than it needs (dup_fd()).
TEST(WorkingMemory, TheTableOfDescriptorsIsLargeBeforeItIsShared) {
  const auto work = [] {
    const auto size = [] {
      const std::string status = read_text("/proc/self/status");
      const auto at = status.find("FDSize:");
      return at == std::string::npos ? 0 : std::atoi(status.c_str() + at + 7);
    };
    const rlimit limit{1024, 1024};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0 || size() >= 1024) std::_Exit(2);
    prepare_working_memory();
    std::_Exit(size() == 1024 ? 0 : 1);
  };
  EXPECT_EXIT(work(), testing::ExitedWithCode(0), "");
}

}  // namespace drover
