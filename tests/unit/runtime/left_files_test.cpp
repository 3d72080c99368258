#include "runtime/migrate/left_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "ckpt/sys/unique_fd.h"

namespace drover {
namespace {

// A file in memory of the test's own.
class LeftFiles : public testing::Test {
 protected:
  void SetUp() override {
    fd_.reset(::mkstemp(path_.data()));
    ASSERT_TRUE(fd_);
    ASSERT_EQ(::ftruncate(fd_.get(), 4096), 0);
    struct stat info {};
    ASSERT_EQ(::fstat(fd_.get(), &info), 0);
    file_ = {path_, info.st_dev, info.st_ino};
  }
  void TearDown() override { ::unlink(path_.c_str()); }

  bool there() const { return ::access(path_.c_str(), F_OK) == 0; }
  std::string remove() const { return remove_left_files({file_}).at(0); }

  std::string path_ = "/dev/shm/drover-test-XXXXXX";
  UniqueFd fd_;
  MemoryFile file_;
};

TEST_F(LeftFiles, AreRemovedWhenNobodyHasThem) {
  fd_.reset();
  EXPECT_EQ(remove(), path_ + " removed");
  EXPECT_FALSE(there());
  EXPECT_EQ(remove(), path_ + " is gone: No such file or directory");
}

TEST_F(LeftFiles, StayWhileOneIsOpen) {
  EXPECT_EQ(remove(), fmt::format("{} stays: process {} has it", path_, ::getpid()));
  EXPECT_TRUE(there());
}

TEST_F(LeftFiles, StayWhileOneIsMapped) {
  void* mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd_.get(), 0);
  fd_.reset();
  EXPECT_EQ(remove(), fmt::format("{} stays: process {} has it", path_, ::getpid()));
  EXPECT_TRUE(there());
  ::munmap(mapped, 4096);
}

TEST_F(LeftFiles, StayWhileAThreadHasOneAmongDescriptorsOfItsOwn) {
  int told[2];
  ASSERT_EQ(::pipe2(told, O_CLOEXEC), 0);
  struct Shared {
    int fd, told;
  } shared{fd_.get(), told[1]};
  static char stack[65536];
  const auto hold = [](void* argument) {
    const auto* with = static_cast<Shared*>(argument);
    (void)!::write(with->told, "x", 1);
    for (;;) ::pause();
    return 0;
  };
  // A process with threads of its own ends with all of them: the main thread closes the file, another has it still.
  const pid_t process = ::fork();
  if (process == 0) {
    ::clone(+hold, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, &shared);
    ::close(shared.fd);
    for (;;) ::pause();
  }
  char byte = 0;
  EXPECT_EQ(::read(told[0], &byte, 1), 1);
  ::usleep(20'000);
  fd_.reset();
  EXPECT_EQ(remove(), fmt::format("{} stays: process {} has it", path_, process));
  EXPECT_TRUE(there());
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  for (const int fd : told) ::close(fd);
}

TEST_F(LeftFiles, OfTheSameNameStay) {
  fd_.reset();
  const std::string other = path_ + ".other";
  const UniqueFd replacing(::open(other.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::rename(other.c_str(), path_.c_str()), 0);
  EXPECT_EQ(remove(), path_ + " stays: it is another file by now");
  EXPECT_TRUE(there());
}

TEST_F(LeftFiles, OfOtherNamesStay) {
  fd_.reset();
  const std::string other = path_ + ".other";
  ASSERT_EQ(::link(path_.c_str(), other.c_str()), 0);
  EXPECT_EQ(remove(), path_ + " stays: it has other names");
  EXPECT_TRUE(there());
  ::unlink(other.c_str());
}

}  // namespace
}  // namespace drover
