// What a job holds, seen in real processes that hold it.
#include "runtime/jobs/holdings.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "ckpt/sys/unique_fd.h"

namespace drover {
namespace {

constexpr std::size_t kMib = 1 << 20;

TEST(MemoryHeld, TellsKindsOfPagesApart) {
  const MemoryHeld held = parse_memory_held(
      "Name:\tx\nVmRSS:\t   6000 kB\nRssAnon:\t    3000 kB\nRssFile:\t    2000 kB\nRssShmem:\t    1000 kB\nVmSwap:\t  "
      "  70 kB\n");
  EXPECT_EQ(held.anonymous_kib, 3000U);
  EXPECT_EQ(held.file_kib, 2000U);
  EXPECT_EQ(held.shared_kib, 1000U);
  EXPECT_EQ(held.swapped_kib, 70U);
  EXPECT_EQ(held.resident_kib(), 6000U);
}

TEST(MemoryHeld, OfAnOldKernelIsAllAnonymous) {
  const MemoryHeld held = parse_memory_held("VmRSS:\t   6000 kB\nVmSwap:\t    0 kB\n");
  EXPECT_EQ(held.anonymous_kib, 6000U);
  EXPECT_EQ(held.resident_kib(), 6000U);
  EXPECT_EQ(parse_memory_held("").resident_kib(), 0U);  // a kernel thread, or gone
}

// A child, and below it another, that has done what it is told to and waits; both end with this.
class Family {
 public:
  template <class Work>
  explicit Family(Work work) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    root_ = ::fork();
    if (root_ == 0) {
      const int nothing = ::open("/dev/null", O_RDWR);
      for (int fd = 0; fd < 3; ++fd) ::dup2(nothing, fd);
      ::dup2(ready[1], 3);
      ::close_range(4, ~0U, 0);
      ::setpgid(0, 0);
      const bool is_parent = ::fork() != 0;
      work(is_parent);
      if (::write(3, "x", 1) == 1) ::pause();
      ::_exit(0);
    }
    ::close(ready[1]);
    char bytes[2];
    for (std::size_t got = 0; got < 2;) {
      const ssize_t n = ::read(ready[0], bytes + got, 2 - got);
      if (n <= 0) throw std::runtime_error("the children have died");
      got += static_cast<std::size_t>(n);
    }
    ::close(ready[0]);
  }
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  ~Family() {
    ::kill(-root_, SIGKILL);
    ::waitpid(root_, nullptr, 0);
  }
  pid_t root() const { return root_; }

 private:
  pid_t root_ = 0;
};

std::byte* take(std::size_t bytes, int flags = MAP_PRIVATE) {
  return static_cast<std::byte*>(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0));
}

TEST(Holdings, AreThoseOfTheWholeTree) {
  const Family family([](bool is_parent) {
    if (is_parent) {
      std::memset(take(64 * kMib), 1, 64 * kMib);
      for (int i = 0; i < 4; ++i) ::open("/dev/null", O_RDONLY);
    } else {
      std::memset(take(32 * kMib, MAP_SHARED), 1, 32 * kMib);
      for (int i = 0; i < 3; ++i) ::socket(AF_UNIX, SOCK_DGRAM, 0);
    }
  });
  const Holdings held = holdings_of_tree(family.root(), 0);
  EXPECT_EQ(held.connections, 3);
  EXPECT_EQ(held.files, 4 + 4 + 4);  // each has its first three and the pipe
  EXPECT_GE(held.memory.anonymous_kib, 64 * 1024U);
  EXPECT_LT(held.memory.anonymous_kib, 96 * 1024U);
  EXPECT_GE(held.memory.shared_kib, 32 * 1024U);
  EXPECT_GT(held.memory.file_kib, 0U);
  EXPECT_EQ(held.largest, family.root());
}

TEST(Holdings, AreThereWithoutTheMainThread) {
  const Family family([](bool is_parent) {
    if (!is_parent) return;
    std::memset(take(64 * kMib), 1, 64 * kMib);
    std::thread([] {
      char state = 0;
      while (state != 'Z')
        std::ifstream("/proc/self/task/" + std::to_string(::getpid()) + "/stat").ignore(1000, ')').ignore(1).get(state);
      if (::write(3, "x", 1) == 1) ::pause();
    }).detach();
    ::syscall(SYS_exit, 0);
  });
  const Holdings held = holdings_of_tree(family.root(), 0);
  EXPECT_GE(held.memory.anonymous_kib, 64 * 1024U);
  EXPECT_EQ(held.files, 4 + 4);
  EXPECT_EQ(sample_zero_share(held.largest, 64, 1), 0);
  std::ifstream status("/proc/" + std::to_string(held.largest) + "/status");
  std::string all((std::istreambuf_iterator<char>(status)), {});
  EXPECT_NE(all.find("Tgid:\t" + std::to_string(family.root()) + "\n"), std::string::npos);
}

TEST(Holdings, OfWhoIsGoneAreNothing) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  ::waitpid(pid, nullptr, 0);
  const Holdings held = holdings_of_tree(pid, 0);
  EXPECT_EQ(held.memory.resident_kib(), 0U);
  EXPECT_EQ(held.files, 0);
  EXPECT_EQ(sample_zero_share(pid, 64, 1), 0);
}

double share_of(std::size_t filled_mib) {
  const Family family([&](bool is_parent) {
    if (!is_parent) return;
    std::byte* const memory = take(64 * kMib);
    std::memset(memory, 0, 64 * kMib);
    std::memset(memory, 1, filled_mib * kMib);
    take(256 * kMib);  // never touched
  });
  return sample_zero_share(family.root(), 64, 42);
}

// With 64 pages the share is known to 0.06 (one sigma) at worst.
TEST(ZeroShare, IsThatOfThePagesThatAreThere) {
  EXPECT_LT(share_of(64), 0.1);
  EXPECT_GT(share_of(0), 0.9);
  EXPECT_NEAR(share_of(16), 0.75, 0.25);
}

}  // namespace
}  // namespace drover
