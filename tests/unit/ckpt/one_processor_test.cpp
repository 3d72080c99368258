#include "ckpt/sys/one_processor.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/ckpt/own_cpus.h"

namespace drover {
namespace {

TEST(OneProcessor, BindsUntilItEnds) {
  const cpu_set_t before = own_cpus();
  cpu_set_t first;
  {
    OneProcessor one;
    first = own_cpus();
    EXPECT_EQ(CPU_COUNT(&first), 1);
    EXPECT_TRUE(CPU_ISSET(::sched_getcpu(), &first));
    one.loosen();
    const cpu_set_t loose = own_cpus();
    EXPECT_TRUE(CPU_EQUAL(&loose, &before));
    one.loosen();
    one.bind();
    const cpu_set_t second = own_cpus();
    EXPECT_TRUE(CPU_EQUAL(&second, &first)) << "not the same one as before";
    one.bind();
  }
  const cpu_set_t after = own_cpus();
  EXPECT_TRUE(CPU_EQUAL(&after, &before));
}

TEST(OneProcessor, BindsWhoIsMadeMeanwhile) {
  const OneProcessor one;
  const cpu_set_t bound = own_cpus();
  const pid_t pid = ::fork();
  if (pid == 0) {
    const cpu_set_t inherited = own_cpus();
    ::_exit(CPU_EQUAL(&inherited, &bound) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(OneProcessor, LeavesOtherThreadsAlone) {
  const cpu_set_t before = own_cpus();
  std::thread other([] { const OneProcessor one; });
  {
    const OneProcessor one;
    other.join();
  }
  const cpu_set_t after = own_cpus();
  EXPECT_TRUE(CPU_EQUAL(&after, &before));
}

}  // namespace
}  // namespace drover
